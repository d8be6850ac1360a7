//! The story of the sample data: every planted effect and every share of dirt, each as one named constant.
//!
//! `data/README.md` tells the same story in words, with the values measured at the default size. A test in
//! `demo/tests/demo.rs` finds every effect again by plain computation over the written files.

/// Unix seconds of 2025-01-01 00:00 UTC, the first instant of the data.
pub(crate) const START: i64 = 1_735_689_600;
/// Days covered: 2025-01-01 to 2025-12-31.
pub(crate) const DAYS: usize = 365;
/// Seconds of a day.
pub(crate) const DAY_S: i64 = 86_400;
/// Unix seconds of 2026-01-01 00:00 UTC: nothing is observed at or after this instant.
pub(crate) const END: i64 = START + DAYS as i64 * DAY_S;
/// Day of the week of the first day, Monday = 0: 2025-01-01 was a Wednesday.
pub(crate) const FIRST_WEEKDAY: usize = 2;

/// Contacts for each customer, on average.
pub(crate) const CONTACTS_PER_CUSTOMER: u64 = 10;
/// Never fewer customers than this.
pub(crate) const CUSTOMERS_MIN: u64 = 100;
/// Agents at the smallest sizes.
pub(crate) const AGENTS_BASE: u64 = 40;
/// One more agent for each so many contacts.
pub(crate) const CONTACTS_PER_EXTRA_AGENT: u64 = 7_000;

/// The queues. Agents belong to one queue each.
pub(crate) const QUEUES: [&str; 5] = ["Billing", "Orders", "Technical", "Accounts", "Sales"];
/// Index of the queue that is short of staff on Monday mornings.
pub(crate) const QUEUE_BILLING: u8 = 0;
/// Index of the queue whose handle time shifts.
pub(crate) const QUEUE_ORDERS: u8 = 1;
/// Teams within a queue.
pub(crate) const TEAM_SIDES: [&str; 2] = ["East", "West"];

/// What is known of a topic.
pub(crate) struct Topic {
    /// The clean label.
    pub(crate) label: &'static str,
    /// Index into [`QUEUES`].
    pub(crate) queue: u8,
    /// Share of first contacts.
    pub(crate) share: f64,
    /// Probability that one contact solves it.
    pub(crate) solved: f64,
    /// Median talk time on the phone, in seconds.
    pub(crate) talk_s: f64,
    /// Other spellings found in the data.
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

/// What is known of a channel.
pub(crate) struct Channel {
    /// The clean label.
    pub(crate) label: &'static str,
    /// Share of first contacts.
    pub(crate) share: f64,
    /// Talk time relative to the phone.
    pub(crate) talk_factor: f64,
    /// Share of handled inbound contacts that answer a survey.
    pub(crate) survey_rate: f64,
    /// Share of contacts that carry a text.
    pub(crate) text_rate: f64,
    /// Other spellings found in the data.
    pub(crate) variants: [&'static str; 3],
}

/// The channels; the first two are answered live, the others later.
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
/// Channels below this index are answered live: they queue, and people abandon them.
pub(crate) const LIVE_CHANNELS: u8 = 2;
/// Share of first contacts that the company makes.
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
/// Hourly shape of live channels on weekdays: two humps between opening (07:00) and closing (21:00).
pub(crate) const LIVE_HOURS: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.35, 0.85, 1.25, 1.35, 1.15, 0.80, 0.95, 1.25, 1.20, 1.00, 0.75, 0.55, 0.40,
    0.25, 0.0, 0.0, 0.0,
];
/// Hourly shape of live channels at weekends: one hump.
pub(crate) const WEEKEND_HOURS: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.10, 0.30, 0.70, 1.00, 1.10, 1.10, 1.00, 0.95, 0.85, 0.75, 0.60, 0.45, 0.30,
    0.20, 0.0, 0.0, 0.0,
];
/// Hourly shape of channels that are answered later, on every day.
pub(crate) const LATER_HOURS: [f64; 24] = [
    0.12, 0.07, 0.05, 0.04, 0.05, 0.12, 0.30, 0.60, 0.90, 1.10, 1.10, 1.00, 0.95, 0.90, 0.95, 0.95, 0.90, 0.85, 0.85,
    0.95, 1.00, 0.90, 0.60, 0.30,
];
/// The centre opens at this hour, and
pub(crate) const OPEN_HOUR: i64 = 7;
/// closes at this one.
pub(crate) const CLOSE_HOUR: i64 = 21;

// 2. Repeats of what was not solved.

/// Probability that a customer comes back with what was not solved.
pub(crate) const COMES_BACK: f64 = 0.84;
/// Probability that a customer who gave up waiting tries again.
pub(crate) const RETRIES_AFTER_ABANDON: f64 = 0.60;
/// Share of returns that come soon: exponential with [`SOON_MEAN_DAYS`].
pub(crate) const SOON_SHARE: f64 = 0.86;
/// Mean delay of the soon ones.
pub(crate) const SOON_MEAN_DAYS: f64 = 2.5;
/// The late ones are spread evenly over this range of days.
pub(crate) const LATE_DAYS: (f64, f64) = (6.0, 30.0);
/// A chain ends after this many repeats.
pub(crate) const REPEATS_MAX: u8 = 5;
/// Share of truly solved contacts that the agent logged as resolved.
pub(crate) const LOGGED_IF_SOLVED: f64 = 0.96;
/// Share of contacts not solved that the agent logged as resolved all the same.
pub(crate) const LOGGED_IF_UNSOLVED: f64 = 0.40;
/// Chance that a returning customer takes another channel: mostly the phone.
pub(crate) const SWITCHES_CHANNEL: f64 = 0.30;

// 3. The release of Atlas and technical support.

/// Day (0-based) of the release: 2025-06-16, a Monday.
pub(crate) const RELEASE_DAY: usize = 166;
/// The effect falls in a straight line to nothing over this many days.
pub(crate) const RELEASE_DAYS: usize = 28;
/// Contacts on the topic about the product are multiplied by this on the first day.
pub(crate) const RELEASE_VOLUME: f64 = 6.0;
/// Their talk time is multiplied by this for the whole span.
pub(crate) const RELEASE_HANDLE: f64 = 1.7;
/// What the release takes from satisfaction (latent scale, see `SCORE_*`).
pub(crate) const RELEASE_SATISFACTION: f64 = -0.5;

// 4. Two agents who solve little.

/// Zero-based numbers of the two: agent ids A0004 (Accounts) and A0018 (Technical).
pub(crate) const LOW_AGENTS: [u32; 2] = [3, 17];
/// Their probability of solving a contact is multiplied by this.
pub(crate) const LOW_AGENT_SOLVED: f64 = 0.25;
/// Spread of the other agents' probability of solving.
pub(crate) const AGENT_SOLVED_SPREAD: f64 = 0.025;
/// Spread (of the logarithm) of agents' pace.
pub(crate) const AGENT_PACE_SPREAD: f64 = 0.08;

// 5. Billing on Monday mornings.

/// From this hour
pub(crate) const MONDAY_FROM_HOUR: i64 = 8;
/// to this one the queue Billing is short of staff.
pub(crate) const MONDAY_TO_HOUR: i64 = 11;
/// Share of contacts then answered at once (elsewhere [`ANSWERED_AT_ONCE`]).
pub(crate) const MONDAY_AT_ONCE: f64 = 0.04;
/// Mean wait in seconds of the others (elsewhere about [`WAIT_MEAN_S`]).
pub(crate) const MONDAY_WAIT_MEAN_S: f64 = 260.0;
/// Share of live contacts that are answered within seconds.
pub(crate) const ANSWERED_AT_ONCE: f64 = 0.58;
/// Mean wait of the others at average load.
pub(crate) const WAIT_MEAN_S: f64 = 32.0;
/// Mean patience: a customer hangs up when the wait outlasts it.
pub(crate) const PATIENCE_MEAN_S: f64 = 330.0;

// 6. The slow shift of handle time in the queue Orders.

/// Day (0-based) on which the first long contacts appear: 2025-09-01.
pub(crate) const SHIFT_DAY: usize = 243;
/// Talk time of a long contact relative to a usual one.
pub(crate) const SHIFT_HANDLE: f64 = 3.0;
/// Share of long contacts on the first day,
pub(crate) const SHIFT_FROM_SHARE: f64 = 0.01;
/// and on the last; in between it grows with the square of the time passed.
pub(crate) const SHIFT_TO_SHARE: f64 = 0.65;

// 7. Customers who leave.

/// Probability to leave after the first, second, third, and any later repeat about one thing.
pub(crate) const LEAVES_AFTER_REPEAT: [f64; 4] = [0.02, 0.12, 0.28, 0.45];
/// Days from that contact to leaving.
pub(crate) const LEAVES_WITHIN_DAYS: (f64, f64) = (1.5, 21.0);
/// Share of customers who leave in the year for other reasons.
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

/// Satisfaction of a solved contact,
pub(crate) const SATISFACTION_SOLVED: f64 = 1.1;
/// and of one not solved.
pub(crate) const SATISFACTION_UNSOLVED: f64 = -1.2;
/// Added for each earlier contact about the same thing.
pub(crate) const SATISFACTION_PER_REPEAT: f64 = -0.35;
/// Added in full for a live wait of [`WAIT_ANNOYS_S`] or a later answer after a day.
pub(crate) const SATISFACTION_WAIT: f64 = -0.8;
/// Live wait after which the annoyance is complete.
pub(crate) const WAIT_ANNOYS_S: f64 = 300.0;
/// Added in full for a talk time of 20 minutes.
pub(crate) const SATISFACTION_HANDLE: f64 = -0.5;
/// Spread of satisfaction from other causes.
pub(crate) const SATISFACTION_SPREAD: f64 = 0.85;
/// NPS answer = first + second * satisfaction, rounded, within 0..10.
pub(crate) const SCORE_NPS: (f64, f64) = (7.7, 1.9);
/// The same for CSAT, within 1..5.
pub(crate) const SCORE_CSAT: (f64, f64) = (3.7, 0.95);
/// The same for CES, within 1..7.
pub(crate) const SCORE_CES: (f64, f64) = (4.9, 1.2);
/// Shares of the kinds nps, csat, ces.
pub(crate) const SURVEY_KINDS: [(&str, f64); 3] = [("nps", 0.45), ("csat", 0.40), ("ces", 0.15)];

// 10. Orders, clicks, states.

/// Orders without a web session for each contact.
pub(crate) const ORDERS_PER_CONTACT: f64 = 0.18;
/// Shopping sessions for each contact.
pub(crate) const SESSIONS_PER_CONTACT: f64 = 0.36;
/// Share of sessions in which the visitor is known.
pub(crate) const SESSION_KNOWN: f64 = 0.7;
/// The steps of a shopping session and the share that goes on from each to the next.
pub(crate) const FUNNEL: [(&str, f64); 6] =
    [("home", 0.78), ("search", 0.80), ("product", 0.42), ("cart", 0.62), ("checkout", 0.78), ("purchase", 0.0)];
/// Share of inbound contacts with a visit to the help pages just before.
pub(crate) const HELP_BEFORE_CONTACT: f64 = 0.22;
/// The market segments: name, share of customers, median order amount, median acquisition cost.
pub(crate) const SEGMENTS: [(&str, f64, f64, f64); 3] =
    [("consumer", 0.72, 62.0, 24.0), ("small business", 0.21, 210.0, 90.0), ("enterprise", 0.07, 880.0, 420.0)];
/// Agent states are written for one ISO week in so many (weeks 4, 8, .. 52).
pub(crate) const STATES_EVERY_WEEKS: usize = 4;

// 11. Dirt. Shares of interactions, at most one kind on a row.

/// The row is there twice, equal in every column.
pub(crate) const DIRT_DUPLICATE: f64 = 0.003;
/// The topic is spelled in another way.
pub(crate) const DIRT_TOPIC_LABEL: f64 = 0.02;
/// The channel is spelled in another way.
pub(crate) const DIRT_CHANNEL_LABEL: f64 = 0.01;
/// The topic is missing.
pub(crate) const DIRT_TOPIC_NULL: f64 = 0.006;
/// The agent is missing although somebody answered.
pub(crate) const DIRT_AGENT_NULL: f64 = 0.004;
/// The customer is missing.
pub(crate) const DIRT_CUSTOMER_NULL: f64 = 0.005;
/// The contact ends before it starts.
pub(crate) const DIRT_ENDS_FIRST: f64 = 0.0015;
/// The wait is negative.
pub(crate) const DIRT_NEGATIVE_WAIT: f64 = 0.0015;
/// Exactly so many contacts have a start that lies [`DIRT_FUTURE_YEARS`] ahead.
pub(crate) const DIRT_FUTURE_ROWS: u64 = 2;
/// How far ahead: somebody typed 2052 for 2025.
pub(crate) const DIRT_FUTURE_YEARS: i64 = 27;
/// Share of survey answers with a score outside its scale.
pub(crate) const DIRT_SCORE: f64 = 0.008;
/// The scores outside the scale: nps, csat, ces.
pub(crate) const DIRT_SCORES: [[i32; 3]; 3] = [[11, -1, 99], [0, 6, 99], [0, 8, 99]];
/// Share of survey answers whose interaction does not exist.
pub(crate) const DIRT_ORPHAN: f64 = 0.006;
/// Share of customers without an acquisition cost, and as large a share without a birth date.
pub(crate) const DIRT_CUSTOMER_GAPS: f64 = 0.05;
