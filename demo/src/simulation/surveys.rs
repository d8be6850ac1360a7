//! Survey answers: who answers, the score, the comment, and the rows of `surveys`.

use std::mem;

use rand::Rng;

use super::Simulation;
use super::calendar::{HOUR_S, day_of, release_factor};
use super::contacts::{Outcome, PlannedContact};
use super::random::{exponential, log_normal, normal};
use crate::DemoError;
use crate::story;
use crate::tables::{append_id, micros};
use crate::text::{self, Mood};
use crate::world::pick_share;

/// A planned survey answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SurveyAnswer {
    at: i64,
    interaction: u64,
    customer: u32,
    kind: u8,
    score: i32,
    /// 0 annoyed, 1 neutral, 2 pleased.
    mood: u8,
    topic: u8,
    chinese: bool,
}

impl Simulation {
    /// Draws whether the customer answers a survey about a contact, and plans the answer.
    #[expect(clippy::too_many_arguments, reason = "one caller, and each is a plain fact of the contact")]
    pub(super) fn plan_survey(
        &mut self,
        interaction: u64,
        day: usize,
        due: &PlannedContact,
        outcome: &Outcome,
        is_solved: bool,
        ended_at: i64,
        chinese: bool,
    ) {
        let rng = &mut self.contact_rng;
        let rate = story::CHANNELS.get(usize::from(due.channel)).map_or(0.0, |channel| channel.survey_rate);
        if !rng.random_bool(rate) {
            return;
        }
        let wait = f64::from(outcome.wait_s.unwrap_or(0));
        let annoys =
            if due.channel < story::LIVE_CHANNELS { wait / story::WAIT_ANNOYS_S } else { wait / story::DAY_S as f64 };
        let talk = f64::from(outcome.talk_s.unwrap_or(0)) / 1200.0;
        let mut satisfaction = if is_solved { story::SATISFACTION_SOLVED } else { story::SATISFACTION_UNSOLVED };
        satisfaction += story::SATISFACTION_PER_REPEAT * f64::from(due.repeats)
            + story::SATISFACTION_WAIT * annoys.min(1.0)
            + story::SATISFACTION_HANDLE * talk.min(1.0)
            + story::SATISFACTION_SPREAD * normal(rng);
        if due.topic == story::TOPIC_TECHNICAL && due.product == story::PRODUCT_ATLAS && release_factor(day) > 1.0 {
            satisfaction += story::RELEASE_SATISFACTION;
        }
        let kind = pick_share(story::SURVEY_KINDS.iter().map(|kind| kind.1), rng.random()) as u8;
        let (scale, low, high, even) = match kind {
            0 => (story::SCORE_NPS, 0, 10, 7..=8),
            1 => (story::SCORE_CSAT, 1, 5, 3..=3),
            _ => (story::SCORE_CES, 1, 7, 4..=5),
        };
        let score = ((scale.0 + scale.1 * satisfaction).round() as i32).clamp(low, high);
        let mood = if score < *even.start() { 0 } else { 1 + u8::from(score > *even.end()) };
        let delay = if due.channel < story::LIVE_CHANNELS {
            30.0 + exponential(240.0, rng)
        } else {
            log_normal(3.0 * HOUR_S as f64, 1.0, rng).min(3.0 * story::DAY_S as f64)
        };
        let at = ended_at + delay as i64;
        if let Some(answers) = day_of(at).and_then(|day| self.answers.get_mut(day)) {
            answers.push(SurveyAnswer {
                at,
                interaction,
                customer: due.customer,
                kind,
                score,
                mood,
                topic: due.topic,
                chinese,
            });
        }
    }

    /// Writes the survey answers of a day.
    pub(super) fn answers_of(&mut self, day: usize) -> Result<bool, DemoError> {
        let mut answers = self.answers.get_mut(day).map(mem::take).unwrap_or_default();
        answers.sort_unstable();
        for answer in answers {
            let rng = &mut self.text_rng;
            self.next.survey += 1;
            let kind = story::SURVEY_KINDS.get(usize::from(answer.kind)).map_or("", |kind| kind.0);
            let mut score = answer.score;
            let (bad_score, orphan) = (self.dirt_rng.random_bool(story::DIRT_SCORE), self.dirt_rng.random::<f64>());
            if bad_score && let Some(scores) = story::DIRT_SCORES.get(usize::from(answer.kind)) {
                score = scores.get(self.dirt_rng.random_range(0..3)).copied().unwrap_or(score);
            }
            let has_comment = rng.random_bool(story::COMMENT_RATE);
            if has_comment {
                let contradicts = rng.random_bool(story::COMMENT_CONTRADICTS);
                let mood = match (answer.mood, contradicts) {
                    (0, false) | (2, true) => Mood::Annoyed,
                    (2, false) | (0, true) => Mood::Pleased,
                    _ => Mood::Even,
                };
                text::comment(&mut self.text, answer.chinese, answer.topic, mood, rng);
            }
            let rows = &mut self.sinks.surveys.rows;
            append_id(&mut rows.survey_id, "S", self.next.survey, 8);
            if orphan < story::DIRT_ORPHAN {
                // No contact has this number.
                append_id(&mut rows.interaction_id, "I", self.contacts + 1 + answer.interaction, 8);
            } else {
                append_id(&mut rows.interaction_id, "I", answer.interaction + 1, 8);
            }
            append_id(&mut rows.customer_id, "C", u64::from(answer.customer) + 1, 7);
            rows.responded_at.append_value(micros(answer.at));
            rows.kind.append_value(kind);
            rows.score.append_value(score);
            rows.comment.append_option(has_comment.then_some(self.text.as_str()));
            rows.language.append_value(if answer.chinese { "zh" } else { "en" });
            if !self.sinks.surveys.flush_if_full()? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
