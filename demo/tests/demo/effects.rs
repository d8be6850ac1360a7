//! The planted effects, verified by plain computation. Expected sizes are those of `data/README.md`; the bounds allow for
//! chance.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::data::{
    CONTACTS, Contact, DATA, DAY, clean_channel, clean_topic, column, fcr, flags, integers, mean, read, seconds, share,
    texts,
};

#[test]
fn arrivals_have_two_humps_on_weekdays_and_fewer_at_weekends() {
    let at = |hour: i64| CONTACTS.iter().filter(|c| c.is_live() && c.weekday() < 5 && c.hour() == hour).count() as f64;
    assert!(at(10) > 1.3 * at(12) && at(15) > 1.2 * at(12), "{} {} {}", at(10), at(12), at(15));
    assert_eq!(at(3), 0.0);
    let on = |day: i64| CONTACTS.iter().filter(|c| c.weekday() == day).count() as f64;
    assert!(on(0) > 1.15 * on(3) && on(3) > 2.0 * on(6), "{} {} {}", on(0), on(3), on(6));
    let quarter = |from: i64, to: i64| CONTACTS.iter().filter(|c| (from..to).contains(&c.day())).count() as f64;
    assert!(quarter(273, 365) > 1.08 * quarter(0, 92));
}

#[test]
fn what_is_not_solved_comes_back_mostly_within_a_week() {
    let mut chains: HashMap<(&str, &str), i64> = HashMap::new();
    let mut within = [0; 4];
    let mut known = 0;
    for contact in CONTACTS.iter().filter(|contact| contact.inbound) {
        let (Some(customer), Some(topic)) = (contact.customer.as_deref(), contact.topic) else { continue };
        known += 1;
        if let Some(before) = chains.insert((customer, topic), contact.started) {
            for (count, days) in within.iter_mut().zip([1, 7, 14, 30]) {
                *count += usize::from(contact.started - before <= days * DAY);
            }
        }
    }
    let [one, seven, fourteen, thirty] = within.map(|count| share(count, known));
    assert!((0.05..0.12).contains(&one) && (0.20..0.30).contains(&seven), "{one} {seven}");
    assert!(fourteen > seven + 0.02 && thirty > fourteen + 0.02, "{fourteen} {thirty}");
    let topic = |topic: &'static str| fcr(CONTACTS.iter().filter(move |c| c.topic == Some(topic))).0;
    assert!(topic("technical support") + 0.06 < topic("billing"));
    assert!(topic("billing") + 0.06 < topic("product question"));
    // Agents log more contacts as resolved than repeat contacts confirm.
    let logged: Vec<bool> = CONTACTS
        .iter()
        .filter(|contact| contact.first_contact_resolved == Some(false) && !contact.abandoned)
        .filter_map(|contact| contact.resolved)
        .collect();
    let rosy = share(logged.iter().filter(|&&resolved| resolved).count(), logged.len());
    assert!((0.30..0.55).contains(&rosy), "{rosy}");
}

#[test]
fn atlas_release_raises_technical_contacts_and_their_handle_time() {
    // 2025-06-16 is day 166 of the year, counted from 0.
    let atlas = |from: i64, to: i64| -> Vec<&Contact> {
        CONTACTS
            .iter()
            .filter(|c| c.topic == Some("technical support") && c.product == "Atlas" && (from..to).contains(&c.day()))
            .collect()
    };
    let talk = |contacts: &[&Contact]| mean(contacts.iter().filter_map(|c| c.talk).map(f64::from));
    let (before, first, fourth, after) = (atlas(138, 166), atlas(166, 173), atlas(187, 194), atlas(201, 229));
    let weekly = before.len() as f64 / 4.0;
    assert!(first.len() as f64 > 2.5 * weekly, "{} {weekly}", first.len());
    assert!(first.len() as f64 > 1.5 * fourth.len() as f64);
    assert!((after.len() as f64) < 1.6 * before.len() as f64);
    assert!(talk(&first) > 1.4 * talk(&before) && talk(&after) < 1.2 * talk(&before));
    let beacon = |from: i64, to: i64| {
        let days = from..to;
        CONTACTS
            .iter()
            .filter(|c| c.topic == Some("technical support") && c.product != "Atlas" && days.contains(&c.day()))
            .count() as f64
    };
    assert!(beacon(166, 194) < 1.3 * beacon(138, 166));
}

#[test]
fn two_agents_solve_far_less_than_all_others() {
    let mut by_agent: Vec<(f64, &str)> = Vec::new();
    let agents: HashSet<&str> = CONTACTS.iter().filter_map(|contact| contact.agent.as_deref()).collect();
    for agent in agents {
        let (ratio, known) = fcr(CONTACTS.iter().filter(|contact| contact.agent.as_deref() == Some(agent)));
        assert!(known > 100, "{agent} {known}");
        by_agent.push((ratio, agent));
    }
    by_agent.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut worst = [by_agent[0].1, by_agent[1].1];
    worst.sort_unstable();
    assert_eq!(worst, ["A0004", "A0018"]);
    assert!(by_agent[1].0 + 0.12 < by_agent[2].0, "{by_agent:?}");
    // More than three standard deviations from the mean of the others.
    let others: Vec<f64> = by_agent[2..].iter().map(|agent| agent.0).collect();
    let centre = mean(others.iter().copied());
    let spread = (mean(others.iter().map(|ratio| (ratio - centre).powi(2)))).sqrt();
    assert!(by_agent[1].0 < centre - 3.0 * spread, "{by_agent:?}");
}

#[test]
fn billing_is_short_of_staff_on_monday_mornings() {
    let level = |rush: bool, billing: bool| {
        let offered: Vec<&Contact> = CONTACTS
            .iter()
            .filter(|c| c.is_live() && c.wait.is_some_and(|wait| wait >= 0))
            .filter(|c| c.is_monday_morning() == rush && (c.queue == "Billing") == billing)
            .collect();
        let in_time = offered.iter().filter(|c| !c.abandoned && c.wait.unwrap() <= 20).count();
        let abandoned = offered.iter().filter(|c| c.abandoned).count();
        (share(in_time, offered.len()), share(abandoned, offered.len()))
    };
    let (rush, usual, elsewhere) = (level(true, true), level(false, true), level(true, false));
    assert!(rush.0 < 0.25 && usual.0 > 0.65 && elsewhere.0 > 0.60, "{rush:?} {usual:?} {elsewhere:?}");
    assert!(rush.1 > 0.25 && usual.1 < 0.08 && elsewhere.1 < 0.12, "{rush:?} {usual:?} {elsewhere:?}");
}

#[test]
fn handle_time_of_orders_shifts_from_rare_outliers_to_the_usual() {
    let talks = |queue: &str, from: i64, to: i64| -> Vec<f64> {
        let mut talks: Vec<f64> = CONTACTS
            .iter()
            .filter(|c| c.queue == queue && (from..to).contains(&c.day()))
            .filter_map(|c| c.talk.map(f64::from))
            .collect();
        talks.sort_by(f64::total_cmp);
        talks
    };
    let quantile = |sorted: &[f64], q: f64| sorted[(q * (sorted.len() - 1) as f64) as usize];
    // Until the end of August, September and October, December.
    let (before, early, late) = (talks("Orders", 0, 243), talks("Orders", 243, 304), talks("Orders", 334, 365));
    let limit = 3.0 * quantile(&before, 0.5);
    let long = |talks: &[f64]| share(talks.iter().filter(|&&talk| talk > limit).count(), talks.len());
    assert!(long(&before) < 0.015, "{}", long(&before));
    assert!((1.5 * long(&before)..0.08).contains(&long(&early)), "{}", long(&early));
    assert!(long(&late) > 0.18, "{}", long(&late));
    // At first the median is unchanged (outliers only), at the end it has moved.
    assert!(quantile(&early, 0.5) < 1.12 * quantile(&before, 0.5));
    assert!(quantile(&late, 0.5) > 1.4 * quantile(&before, 0.5));
    assert!(mean(late) > 1.7 * mean(before));
    let (other_before, other_late) = (talks("Billing", 0, 243), talks("Billing", 334, 365));
    assert!((0.85..1.15).contains(&(mean(other_late) / mean(other_before))));
}

#[test]
fn customers_leave_after_repeated_contacts() {
    let customers = read(DATA.folder.path(), "customers");
    let mut worst: HashMap<&str, usize> = HashMap::new();
    for contact in CONTACTS.iter() {
        if let Some(customer) = &contact.customer {
            let most = worst.entry(customer).or_default();
            *most = (*most).max(contact.repeats);
        }
    }
    let mut few = (0, 0);
    let mut many = (0, 0);
    for (id, left) in texts(&customers, "customer_id").into_iter().zip(seconds(&customers, "churned_at")) {
        let group = if worst.get(id.as_deref().unwrap()).copied().unwrap_or(0) >= 3 { &mut many } else { &mut few };
        group.0 += usize::from(left.is_some());
        group.1 += 1;
    }
    let (few, many) = (share(few.0, few.1), share(many.0, many.1));
    assert!(few < 0.18 && many > 0.25 && many > 1.8 * few, "{few} {many}");
}

#[test]
fn surveys_follow_resolution_and_wait() {
    let folder = DATA.folder.path();
    let surveys = read(folder, "surveys");
    let contacts: HashMap<&str, &Contact> = CONTACTS.iter().map(|contact| (contact.id.as_str(), contact)).collect();
    let (ids, kinds, scores) =
        (texts(&surveys, "interaction_id"), texts(&surveys, "kind"), integers(&surveys, "score"));
    let (mut solved, mut unsolved, mut bad) = (Vec::new(), Vec::new(), 0);
    for row in 0..surveys.num_rows() {
        let (kind, score) = (kinds[row].as_deref().unwrap(), scores[row].unwrap());
        let scale = match kind {
            "nps" => 0..=10,
            "csat" => 1..=5,
            "ces" => 1..=7,
            other => panic!("{other}"),
        };
        if !scale.contains(&score) {
            bad += 1;
        } else if kind == "nps" {
            match contacts.get(ids[row].as_deref().unwrap()).and_then(|c| c.first_contact_resolved) {
                Some(true) => solved.push(f64::from(score)),
                Some(false) => unsolved.push(f64::from(score)),
                None => {}
            }
        }
    }
    assert!(mean(solved.iter().copied()) > mean(unsolved.iter().copied()) + 2.0);
    assert!((0.003..0.015).contains(&share(bad, surveys.num_rows())), "{bad}");
    let answered = CONTACTS.iter().filter(|c| c.inbound && !c.abandoned).count();
    assert!((0.15..0.25).contains(&share(surveys.num_rows(), answered)));
}

#[test]
fn comments_go_with_the_scores_in_both_languages() {
    // Words of undisputed sentiment; the English ones have that sign in the VADER lexicon.
    const GOOD: [&str; 22] = [
        "happy",
        "great",
        "pleased",
        "good",
        "friendly",
        "thank",
        "excellent",
        "perfect",
        "impressed",
        "love",
        "helpful",
        "best",
        "满意",
        "很好",
        "不错",
        "感谢",
        "谢谢",
        "棒",
        "点赞",
        "开心",
        "顺利",
        "推荐",
    ];
    const BAD: [&str; 24] = [
        "disappointed",
        "frustrating",
        "terrible",
        "poor",
        "angry",
        "not good",
        "waste",
        "awful",
        "unacceptable",
        "rude",
        "worst",
        "useless",
        "失望",
        "生气",
        "很差",
        "糟糕",
        "浪费",
        "极差",
        "无法接受",
        "不满意",
        "恶劣",
        "投诉",
        "烦人",
        "太差",
    ];
    let surveys = read(DATA.folder.path(), "surveys");
    let (kinds, scores) = (texts(&surveys, "kind"), integers(&surveys, "score"));
    let (comments, languages) = (texts(&surveys, "comment"), texts(&surveys, "language"));
    // By language and by promoter: words that agree, words that disagree.
    let mut found: BTreeMap<(&str, bool), (usize, usize)> = BTreeMap::new();
    let mut different = HashSet::new();
    for row in 0..surveys.num_rows() {
        let Some(comment) = &comments[row] else { continue };
        different.insert(comment.clone());
        let language = languages[row].as_deref().unwrap();
        assert_eq!(language == "en", comment.is_ascii(), "{comment}");
        let promoter = match (kinds[row].as_deref(), scores[row]) {
            (Some("nps"), Some(9..=10)) => true,
            (Some("nps"), Some(0..=6)) => false,
            _ => continue,
        };
        let comment = comment.to_lowercase();
        let bad = BAD.iter().filter(|word| comment.contains(*word)).count();
        let good = GOOD.iter().filter(|word| comment.contains(*word)).count();
        let group = found.entry((language, promoter)).or_default();
        group.0 += usize::from(if promoter { good > bad } else { bad > good });
        group.1 += usize::from(if promoter { bad > good } else { good > bad });
    }
    assert_eq!(found.len(), 4);
    for ((language, promoter), (agree, disagree)) in found {
        assert!(agree > 8 * disagree.max(2), "{language} {promoter} {agree} {disagree}");
    }
    assert!(different.len() > 1500, "{}", different.len());
    let chinese = CONTACTS.iter().filter(|contact| contact.language == "zh").count();
    assert!((0.18..0.30).contains(&share(chinese, CONTACTS.len())));
    for contact in CONTACTS.iter() {
        if let Some(text) = &contact.text {
            assert_eq!(contact.language == "en", text.is_ascii(), "{text}");
        }
    }
}

#[test]
fn shoppers_drop_off_step_by_step_and_purchases_are_orders() {
    let folder = DATA.folder.path();
    let events = read(folder, "events");
    let (sessions, names) = (texts(&events, "session_id"), texts(&events, "event"));
    let (customers, times) = (texts(&events, "customer_id"), seconds(&events, "occurred_at"));
    let mut steps: HashMap<&str, HashSet<&str>> = HashMap::new();
    for row in 0..events.num_rows() {
        let is_new = steps.entry(sessions[row].as_deref().unwrap()).or_default().insert(names[row].as_deref().unwrap());
        assert!(is_new, "a step twice in a session");
    }
    let reached = |step: &str| steps.values().filter(|steps| steps.contains(step)).count();
    let shopping = steps.values().filter(|steps| !steps.contains("contact")).count();
    let chain = ["search", "product", "cart", "checkout", "purchase"].map(reached);
    assert!(chain[0] < shopping && chain.is_sorted_by(|a, b| a > b), "{shopping} {chain:?}");
    assert!((0.05..0.16).contains(&share(chain[4], shopping)), "{shopping} {chain:?}");
    let orders = read(folder, "orders");
    let orders: HashSet<(Option<String>, Option<i64>)> =
        texts(&orders, "customer_id").into_iter().zip(seconds(&orders, "ordered_at")).collect();
    for row in (0..events.num_rows()).filter(|&row| names[row].as_deref() == Some("purchase")) {
        assert!(orders.contains(&(customers[row].clone(), times[row])));
    }
}

#[test]
fn agent_states_agree_with_the_contacts_of_the_weeks_they_cover() {
    let states = read(DATA.folder.path(), "agent_states");
    let names = texts(&states, "state");
    let (from, to) = (seconds(&states, "started_at"), seconds(&states, "ended_at"));
    let mut weeks = HashSet::new();
    let mut on_contact = 0;
    for row in 0..states.num_rows() {
        let (from, to) = (from[row].unwrap(), to[row].unwrap());
        weeks.insert((from / DAY + 3) / 7);
        if names[row].as_deref() == Some("on_contact") {
            on_contact += to - from;
        }
    }
    assert_eq!(weeks.len(), 13);
    let talked: i64 = CONTACTS
        .iter()
        .filter(|c| c.wait.is_none_or(|wait| wait >= 0))
        .filter(|c| weeks.contains(&(((c.started + i64::from(c.wait.unwrap_or(0))) / DAY + 3) / 7)))
        .map(|c| i64::from(c.talk.unwrap_or(0) + c.hold.unwrap_or(0)))
        .sum();
    let ratio = on_contact as f64 / talked as f64;
    assert!((0.97..1.03).contains(&ratio), "{ratio}");
}

#[test]
fn dirt_has_the_shares_of_the_story() {
    let table = read(DATA.folder.path(), "interactions");
    let rows = table.num_rows();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut duplicates = 0;
    for (row, id) in texts(&table, "interaction_id").into_iter().enumerate() {
        if let Some(first) = seen.insert(id.unwrap(), row) {
            duplicates += 1;
            assert_eq!(table.slice(first, 1), table.slice(row, 1));
        }
    }
    let topics = texts(&table, "topic");
    let variants = topics.iter().flatten().filter(|label| clean_topic(label) != label.as_str()).count();
    let channels = texts(&table, "channel");
    let channel_variants = channels.iter().flatten().filter(|label| clean_channel(label) != label.as_str()).count();
    let missing = |name: &str| column(&table, name).null_count();
    let (abandoned, agents, ended) =
        (flags(&table, "is_abandoned"), texts(&table, "agent_id"), seconds(&table, "ended_at"));
    let no_agent =
        (0..rows).filter(|&row| agents[row].is_none() && abandoned[row] == Some(false) && ended[row].is_some()).count();
    // Planted error, its observed share, its expected share.
    for (what, count, expected) in [
        ("duplicate", duplicates, 0.003),
        ("topic label", variants, 0.02),
        ("channel label", channel_variants, 0.01),
        ("topic missing", missing("topic"), 0.006),
        ("agent missing", no_agent, 0.004),
        ("customer missing", missing("customer_id"), 0.005),
    ] {
        let found = share(count, rows);
        assert!((0.6 * expected..1.5 * expected).contains(&found), "{what} {found} {expected}");
    }
    for label in ["Tech Support", "TECHNICAL SUPPORT ", "Billing "] {
        assert!(topics.iter().flatten().any(|topic| topic == label), "{label}");
    }
}
