//! The planted effects and data errors of the sample data, each as a named constant.
//!
//! `data/README.md` describes them, with the values measured at the default size. A test in
//! `demo/tests/demo.rs` verifies every effect by plain computation over the written files.

/// Unix seconds of 2025-01-01 00:00 UTC, the start of the data.
pub(crate) const START: i64 = 1_735_689_600;
/// Days covered: 2025-01-01 to 2025-12-31.
pub(crate) const DAYS: usize = 365;
/// Seconds of a day.
pub(crate) const DAY_S: i64 = 86_400;
/// Unix seconds of 2026-01-01 00:00 UTC, the exclusive end of the data.
pub(crate) const END: i64 = START + DAYS as i64 * DAY_S;
/// Day of the week of the first day, Monday = 0: 2025-01-01 was a Wednesday.
pub(crate) const FIRST_WEEKDAY: usize = 2;

/// Mean number of contacts per customer.
pub(crate) const CONTACTS_PER_CUSTOMER: u64 = 10;
/// Minimum number of customers.
pub(crate) const CUSTOMERS_MIN: u64 = 100;
/// Number of agents at the smallest size.
pub(crate) const AGENTS_BASE: u64 = 40;
/// Contacts per additional agent.
pub(crate) const CONTACTS_PER_EXTRA_AGENT: u64 = 7_000;

/// The queues. Agents belong to one queue each.
pub(crate) const QUEUES: [&str; 5] = ["Billing", "Orders", "Technical", "Accounts", "Sales"];
/// Index of the queue that is understaffed on Monday mornings.
pub(crate) const QUEUE_BILLING: u8 = 0;
/// Index of the queue whose handle time shifts.
pub(crate) const QUEUE_ORDERS: u8 = 1;
/// Teams within a queue.
pub(crate) const TEAM_SIDES: [&str; 2] = ["East", "West"];

/// The properties of a topic.
pub(crate) struct Topic {
    /// The clean label.
    pub(crate) label: &'static str,
    /// Index into [`QUEUES`].
    pub(crate) queue: u8,
    /// Share of first contacts.
    pub(crate) share: f64,
    /// Probability that one contact resolves it.
    pub(crate) solved: f64,
    /// Median talk time on the phone, in seconds.
    pub(crate) talk_s: f64,
    /// Variant spellings in the data.
    pub(crate) variants: [&'static str; 4],
}

/// The topics.
pub(crate) const TOPICS: [Topic; 7] = [
    Topic {
        label: "billing",
        queue: 0,
        share: 0.20,
        solved: 0.72,
        talk_s: 270.0,
        variants: ["Billing", "Billing ", "BILLING", "billing "],
    },
    Topic {
        label: "delivery",
        queue: 1,
        share: 0.20,
        solved: 0.70,
        talk_s: 220.0,
        variants: ["Delivery", "Delivery ", "DELIVERY", " delivery"],
    },
    Topic {
        label: "returns",
        queue: 1,
        share: 0.13,
        solved: 0.68,
        talk_s: 250.0,
        variants: ["Returns", "Returns ", "RETURNS", "returns "],
    },
    Topic {
        label: "technical support",
        queue: 2,
        share: 0.20,
        solved: 0.60,
        talk_s: 400.0,
        variants: ["Tech Support", "Technical Support", "TECHNICAL SUPPORT ", "tech support"],
    },
    Topic {
        label: "account",
        queue: 3,
        share: 0.12,
        solved: 0.78,
        talk_s: 200.0,
        variants: ["Account", "ACCOUNT", "account ", "Account "],
    },
    Topic {
        label: "cancellation",
        queue: 3,
        share: 0.05,
        solved: 0.76,
        talk_s: 300.0,
        variants: ["Cancellation", "CANCELLATION", "cancellation ", "cancelation"],
    },
    Topic {
        label: "product question",
        queue: 4,
        share: 0.10,
        solved: 0.86,
        talk_s: 240.0,
        variants: ["Product Question", "product_question", "PRODUCT QUESTION", "product question "],
    },
];
/// Index of "technical support".
pub(crate) const TOPIC_TECHNICAL: u8 = 3;
/// Index of "product question", the topic of outbound contacts.
pub(crate) const TOPIC_PRODUCT: u8 = 6;

/// The products and their shares of first contacts.
pub(crate) const PRODUCTS: [(&str, f64); 4] = [("Atlas", 0.40), ("Beacon", 0.27), ("Comet", 0.20), ("Delta", 0.13)];
/// Index of the product with the release.
pub(crate) const PRODUCT_ATLAS: u8 = 0;

/// The properties of a channel.
pub(crate) struct Channel {
    /// The clean label.
    pub(crate) label: &'static str,
    /// Share of first contacts.
    pub(crate) share: f64,
    /// Talk time relative to the phone.
    pub(crate) talk_factor: f64,
    /// Share of handled inbound contacts that answer a survey.
    pub(crate) survey_rate: f64,
    /// Share of contacts with a text.
    pub(crate) text_rate: f64,
    /// Variant spellings in the data.
    pub(crate) variants: [&'static str; 3],
}

/// The channels; the first two are live, the others asynchronous.
pub(crate) const CHANNELS: [Channel; 5] = [
    Channel {
        label: "phone",
        share: 0.46,
        talk_factor: 1.0,
        survey_rate: 0.18,
        text_rate: 0.35,
        variants: ["Phone", "PHONE", "phone "],
    },
    Channel {
        label: "chat",
        share: 0.20,
        talk_factor: 1.35,
        survey_rate: 0.25,
        text_rate: 0.90,
        variants: ["Chat", "live chat", "CHAT"],
    },
    Channel {
        label: "email",
        share: 0.20,
        talk_factor: 0.85,
        survey_rate: 0.16,
        text_rate: 1.0,
        variants: ["Email", "e-mail", "E-Mail "],
    },
    Channel {
        label: "web",
        share: 0.09,
        talk_factor: 0.75,
        survey_rate: 0.20,
        text_rate: 1.0,
        variants: ["Web", "WEB", "web "],
    },
    Channel {
        label: "social",
        share: 0.05,
        talk_factor: 0.5,
        survey_rate: 0.12,
        text_rate: 1.0,
        variants: ["Social", "social media", "SOCIAL"],
    },
];
/// Index of the phone.
pub(crate) const CHANNEL_PHONE: u8 = 0;
/// Channels below this index are live: contacts wait in a queue and may be abandoned.
pub(crate) const LIVE_CHANNELS: u8 = 2;
/// Share of outbound first contacts.
pub(crate) const OUTBOUND_SHARE: f64 = 0.05;

// 1. The shape of arrivals.

/// Volume by day of the week, Monday first.
pub(crate) const WEEKDAY_VOLUME: [f64; 7] = [1.25, 1.12, 1.06, 1.02, 0.95, 0.42, 0.34];
/// Growth of volume from the first to the last day.
pub(crate) const YEARLY_TREND: f64 = 0.15;
/// Amplitude of the yearly season, which peaks on [`SEASON_PEAK_DAY`].
pub(crate) const SEASON_AMPLITUDE: f64 = 0.10;
/// Day of the year (0-based) of the seasonal peak: 2025-12-05.
pub(crate) const SEASON_PEAK_DAY: f64 = 338.0;
/// Days (0-based) that are nearly closed: New Year, 24 to 26 December and New Year's Eve.
pub(crate) const HOLIDAYS: [usize; 5] = [0, 357, 358, 359, 364];
/// Volume on those days.
pub(crate) const HOLIDAY_VOLUME: f64 = 0.35;
/// Spread (standard deviation of the logarithm) of a day's volume.
pub(crate) const DAY_NOISE: f64 = 0.06;
/// Hourly volume of live channels on weekdays: two peaks between opening (07:00) and closing (21:00).
pub(crate) const LIVE_HOURS: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.35, 0.85, 1.25, 1.35, 1.15, 0.80, 0.95, 1.25, 1.20, 1.00, 0.75, 0.55, 0.40,
    0.25, 0.0, 0.0, 0.0,
];
/// Hourly volume of live channels at weekends: one peak.
pub(crate) const WEEKEND_HOURS: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.10, 0.30, 0.70, 1.00, 1.10, 1.10, 1.00, 0.95, 0.85, 0.75, 0.60, 0.45, 0.30,
    0.20, 0.0, 0.0, 0.0,
];
/// Hourly volume of asynchronous channels, on every day.
pub(crate) const LATER_HOURS: [f64; 24] = [
    0.12, 0.07, 0.05, 0.04, 0.05, 0.12, 0.30, 0.60, 0.90, 1.10, 1.10, 1.00, 0.95, 0.90, 0.95, 0.95, 0.90, 0.85, 0.85,
    0.95, 1.00, 0.90, 0.60, 0.30,
];
/// The hour at which the centre opens.
pub(crate) const OPEN_HOUR: i64 = 7;
/// The hour at which the centre closes.
pub(crate) const CLOSE_HOUR: i64 = 21;

// 2. Repeat contacts about unresolved issues.

/// Probability of a repeat contact about an unresolved issue.
pub(crate) const COMES_BACK: f64 = 0.84;
/// Probability of a repeat contact after an abandoned one.
pub(crate) const RETRIES_AFTER_ABANDON: f64 = 0.60;
/// Share of early repeats: exponential delay with mean [`SOON_MEAN_DAYS`].
pub(crate) const SOON_SHARE: f64 = 0.86;
/// Mean delay of early repeats, in days.
pub(crate) const SOON_MEAN_DAYS: f64 = 2.5;
/// Late repeats are uniform over this range of days.
pub(crate) const LATE_DAYS: (f64, f64) = (6.0, 30.0);
/// Maximum number of repeats about an issue.
pub(crate) const REPEATS_MAX: u8 = 5;
/// Share of resolved contacts that the agent logged as resolved.
pub(crate) const LOGGED_IF_SOLVED: f64 = 0.96;
/// Share of unresolved contacts that the agent logged as resolved.
pub(crate) const LOGGED_IF_UNSOLVED: f64 = 0.40;
/// Probability that a repeat contact uses another channel, mostly the phone.
pub(crate) const SWITCHES_CHANNEL: f64 = 0.30;

// 3. The release of Atlas and technical support.

/// Day (0-based) of the release: 2025-06-16, a Monday.
pub(crate) const RELEASE_DAY: usize = 166;
/// The effect on volume declines linearly to zero over this many days.
pub(crate) const RELEASE_DAYS: usize = 28;
/// Factor on the contacts on the topic about the product on the first day.
pub(crate) const RELEASE_VOLUME: f64 = 6.0;
/// Factor on their talk time, over all these days.
pub(crate) const RELEASE_HANDLE: f64 = 1.7;
/// Added to satisfaction (latent scale, see `SCORE_*`) by the release.
pub(crate) const RELEASE_SATISFACTION: f64 = -0.5;

// 4. Two agents with a low resolution rate.

/// Zero-based numbers of the two: agent ids A0004 (Accounts) and A0018 (Technical).
pub(crate) const LOW_AGENTS: [u32; 2] = [3, 17];
/// Factor on their probability of resolving a contact.
pub(crate) const LOW_AGENT_SOLVED: f64 = 0.25;
/// Spread of the other agents' probability of resolving a contact.
pub(crate) const AGENT_SOLVED_SPREAD: f64 = 0.025;
/// Spread (of the logarithm) of agents' pace.
pub(crate) const AGENT_PACE_SPREAD: f64 = 0.08;

// 5. Billing on Monday mornings.

/// Hour from which the queue Billing is understaffed.
pub(crate) const MONDAY_FROM_HOUR: i64 = 8;
/// Hour until which the queue Billing is understaffed.
pub(crate) const MONDAY_TO_HOUR: i64 = 11;
/// Share of contacts answered at once during these hours (otherwise [`ANSWERED_AT_ONCE`]).
pub(crate) const MONDAY_AT_ONCE: f64 = 0.04;
/// Mean wait of the others, in seconds (otherwise about [`WAIT_MEAN_S`]).
pub(crate) const MONDAY_WAIT_MEAN_S: f64 = 260.0;
/// Share of live contacts that are answered within seconds.
pub(crate) const ANSWERED_AT_ONCE: f64 = 0.58;
/// Mean wait of the others at average load, in seconds.
pub(crate) const WAIT_MEAN_S: f64 = 32.0;
/// Mean patience, in seconds: a customer abandons a contact whose wait exceeds it.
pub(crate) const PATIENCE_MEAN_S: f64 = 330.0;

// 6. The slow shift of handle time in the queue Orders.

/// Day (0-based) on which the first long contacts appear: 2025-09-01.
pub(crate) const SHIFT_DAY: usize = 243;
/// Talk time of a long contact relative to a normal one.
pub(crate) const SHIFT_HANDLE: f64 = 3.0;
/// Share of long contacts on the first day.
pub(crate) const SHIFT_FROM_SHARE: f64 = 0.01;
/// Share of long contacts on the last day; it grows with the square of the elapsed time.
pub(crate) const SHIFT_TO_SHARE: f64 = 0.65;

// 7. Customers who leave.

/// Probability of leaving after the first, second, third and any later repeat about one issue.
pub(crate) const LEAVES_AFTER_REPEAT: [f64; 4] = [0.02, 0.12, 0.28, 0.45];
/// Days from that contact to leaving.
pub(crate) const LEAVES_WITHIN_DAYS: (f64, f64) = (1.5, 21.0);
/// Share of customers who leave during the year for other reasons.
pub(crate) const LEAVES_ANYWAY: f64 = 0.04;
/// Share of customers who signed up during the year.
pub(crate) const SIGNED_UP_IN_YEAR: f64 = 0.15;

// 8. Words.

/// Share of survey answers with a comment.
pub(crate) const COMMENT_RATE: f64 = 0.55;
/// Share of comments whose words contradict the score.
pub(crate) const COMMENT_CONTRADICTS: f64 = 0.03;
/// Share of customers of Greater China who write Chinese; the others write English.
pub(crate) const WRITES_CHINESE: f64 = 0.96;

// 9. Survey scores: a latent satisfaction, then a scale.

/// Satisfaction after a resolved contact.
pub(crate) const SATISFACTION_SOLVED: f64 = 1.1;
/// Satisfaction after an unresolved contact.
pub(crate) const SATISFACTION_UNSOLVED: f64 = -1.2;
/// Added per earlier contact about the same issue.
pub(crate) const SATISFACTION_PER_REPEAT: f64 = -0.35;
/// Added in full for a live wait of [`WAIT_ANNOYS_S`] or an asynchronous wait of one day, proportionally below.
pub(crate) const SATISFACTION_WAIT: f64 = -0.8;
/// Live wait with the full effect on satisfaction, in seconds.
pub(crate) const WAIT_ANNOYS_S: f64 = 300.0;
/// Added in full for a talk time of 20 minutes, proportionally below.
pub(crate) const SATISFACTION_HANDLE: f64 = -0.5;
/// Spread of satisfaction from other causes.
pub(crate) const SATISFACTION_SPREAD: f64 = 0.85;
/// NPS answer = first + second * satisfaction, rounded, within 0..10.
pub(crate) const SCORE_NPS: (f64, f64) = (7.7, 1.9);
/// The same for CSAT, within 1..5.
pub(crate) const SCORE_CSAT: (f64, f64) = (3.7, 0.95);
/// The same for CES, within 1..7.
pub(crate) const SCORE_CES: (f64, f64) = (4.9, 1.2);
/// Kinds of surveys and their shares.
pub(crate) const SURVEY_KINDS: [(&str, f64); 3] = [("nps", 0.45), ("csat", 0.40), ("ces", 0.15)];

// 10. Orders, clicks, states.

/// Orders without a web session per contact.
pub(crate) const ORDERS_PER_CONTACT: f64 = 0.18;
/// Shopping sessions per contact.
pub(crate) const SESSIONS_PER_CONTACT: f64 = 0.36;
/// Share of sessions of identified visitors.
pub(crate) const SESSION_KNOWN: f64 = 0.7;
/// The steps of a shopping session, and the share that continues to the next step.
pub(crate) const FUNNEL: [(&str, f64); 6] =
    [("home", 0.78), ("search", 0.80), ("product", 0.42), ("cart", 0.62), ("checkout", 0.78), ("purchase", 0.0)];
/// Share of inbound contacts with a visit to the help pages just before.
pub(crate) const HELP_BEFORE_CONTACT: f64 = 0.22;
/// The market segments: name, share of customers, median order amount, median acquisition cost.
pub(crate) const SEGMENTS: [(&str, f64, f64, f64); 3] =
    [("consumer", 0.72, 62.0, 24.0), ("small business", 0.21, 210.0, 90.0), ("enterprise", 0.07, 880.0, 420.0)];
/// Agent states are written for every n-th ISO week (weeks 4, 8, .. 52).
pub(crate) const STATES_EVERY_WEEKS: usize = 4;

// 11. Data errors. Shares of interactions; at most one error per row.

/// The row is duplicated.
pub(crate) const DIRT_DUPLICATE: f64 = 0.003;
/// The topic has a variant spelling.
pub(crate) const DIRT_TOPIC_LABEL: f64 = 0.02;
/// The channel has a variant spelling.
pub(crate) const DIRT_CHANNEL_LABEL: f64 = 0.01;
/// The topic is missing.
pub(crate) const DIRT_TOPIC_NULL: f64 = 0.006;
/// The agent is missing although the contact was answered.
pub(crate) const DIRT_AGENT_NULL: f64 = 0.004;
/// The customer is missing.
pub(crate) const DIRT_CUSTOMER_NULL: f64 = 0.005;
/// The contact ends before it starts.
pub(crate) const DIRT_ENDS_FIRST: f64 = 0.0015;
/// The wait is negative.
pub(crate) const DIRT_NEGATIVE_WAIT: f64 = 0.0015;
/// Number of contacts that start [`DIRT_FUTURE_YEARS`] in the future.
pub(crate) const DIRT_FUTURE_ROWS: u64 = 2;
/// Years in the future, as if 2052 was typed for 2025.
pub(crate) const DIRT_FUTURE_YEARS: i64 = 27;
/// Share of survey answers with a score outside its scale.
pub(crate) const DIRT_SCORE: f64 = 0.008;
/// The scores outside the scale: nps, csat, ces.
pub(crate) const DIRT_SCORES: [[i32; 3]; 3] = [[11, -1, 99], [0, 6, 99], [0, 8, 99]];
/// Share of survey answers whose interaction does not exist.
pub(crate) const DIRT_ORPHAN: f64 = 0.006;
/// Share of customers without an acquisition cost, and also of those without a birth date.
pub(crate) const DIRT_CUSTOMER_GAPS: f64 = 0.05;
