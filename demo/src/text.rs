//! Generated text: survey comments and texts of contacts, combined from parts in English and Chinese.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// The sentiment of a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Promoters and satisfied customers.
    Pleased,
    /// Passives and neutral customers.
    Even,
    /// Detractors.
    Annoyed,
}

/// The parts of text in one language.
struct Language {
    /// Subjects of comments, by topic.
    subjects: [[&'static str; 3]; 7],
    pleased: Parts,
    even: Parts,
    annoyed: Parts,
    /// Requests, by topic, with the placeholders `{product}` and `{n}`.
    requests: [[&'static str; 6]; 7],
    /// Added in repeat contacts.
    again: [&'static str; 8],
    /// Added at the end of some requests.
    closers: [&'static str; 8],
    /// The separator of sentences.
    space: &'static str,
}

/// Opener, opinion on the subject, closer.
struct Parts {
    openers: [&'static str; 10],
    opinions: [&'static str; 10],
    closers: [&'static str; 10],
}

const ENGLISH: Language = Language {
    subjects: [
        ["My invoice", "The charge on my bill", "The refund"],
        ["My delivery", "The parcel", "The courier"],
        ["The return", "The exchange", "My returned order"],
        ["The technical help", "The setup", "The fix for my device"],
        ["The change to my account", "My login", "The address update"],
        ["The cancellation", "Ending my contract", "My contract change"],
        ["The advice", "The answer on the product", "The comparison I asked for"],
    ],
    pleased: Parts {
        openers: [
            "Really happy with this.",
            "Great service!",
            "I am very pleased.",
            "Good experience.",
            "What a friendly agent.",
            "Thanks a lot!",
            "Excellent.",
            "Perfect support from start to finish.",
            "Impressed.",
            "",
        ],
        opinions: [
            "was handled quickly and kindly.",
            "was sorted out in minutes, great work.",
            "is fine now and everyone was helpful.",
            "was easy thanks to a very helpful colleague.",
            "could not have gone better, I love it.",
            "was taken care of with a smile.",
            "was explained clearly and patiently, which I appreciate.",
            "went well, better than I hoped.",
            "was done the same day, wonderful.",
            "is resolved, and I feel well looked after.",
        ],
        closers: [
            "Thank you!",
            "Keep up the good work.",
            "I would gladly recommend you.",
            "Five stars.",
            "Best help desk I know.",
            "Will happily buy again.",
            "Glad I called.",
            "Super friendly people.",
            "",
            "",
        ],
    },
    even: Parts {
        openers: [
            "It was okay.",
            "Average.",
            "Nothing special.",
            "As expected.",
            "Not much to say.",
            "Acceptable.",
            "Mixed.",
            "Neither here nor there.",
            "So so.",
            "",
        ],
        opinions: [
            "took a while, in the end it was done.",
            "was handled in the usual way.",
            "needed two steps more than I thought.",
            "is done, though I had to ask twice.",
            "went as described on the website.",
            "took longer than last time, but it is done.",
            "was answered in part.",
            "is in progress as far as I can see.",
            "was dealt with, the form is rather long.",
            "took about as long as they had said.",
        ],
        closers: [
            "Let us see.",
            "Shorter forms, please.",
            "A call back would have been enough.",
            "The hold music again.",
            "That is all.",
            "We will see next month.",
            "Could be quicker.",
            "",
            "",
            "",
        ],
    },
    annoyed: Parts {
        openers: [
            "Very disappointed.",
            "This is frustrating.",
            "Terrible.",
            "Poor service.",
            "I am angry.",
            "Not good at all.",
            "What a waste of time.",
            "Awful experience.",
            "Unacceptable and sad.",
            "",
        ],
        opinions: [
            "is still a problem and nobody cares.",
            "was a mess from the first minute.",
            "failed again, and I was sent in circles.",
            "is wrong for the third time.",
            "was ignored, and the agent was rude.",
            "took forever and the result is useless.",
            "was handled badly and I had to complain.",
            "is a disaster, I have to explain it all again.",
            "was refused without a reason, which is annoying.",
            "was lost in some confusing transfer between departments.",
        ],
        closers: [
            "I will leave if this goes on.",
            "The worst support I have had.",
            "I hate waiting in the queue.",
            "Nobody called back, bad.",
            "I am fed up.",
            "Never again.",
            "Such a painful process.",
            "I regret buying here.",
            "",
            "",
        ],
    },
    requests: [
        [
            "My {product} invoice shows a charge I do not recognise.",
            "I was billed twice for {product} this month.",
            "When will the refund for order {n} arrive?",
            "Please send the receipt for order {n} to my new address.",
            "The discount for {product} is missing on my bill.",
            "Can I pay invoice {n} in two parts?",
        ],
        [
            "Order {n} has not arrived yet.",
            "The tracking page for my {product} has not changed for days.",
            "The parcel with my {product} came to the wrong address.",
            "Can order {n} be delivered on Saturday?",
            "The box of my {product} was open when it came.",
            "Half of order {n} is missing.",
        ],
        [
            "I want to return my {product}, how do I get a label?",
            "I sent back order {n}, did you receive it?",
            "The {product} does not fit, can I exchange it?",
            "How long can I return order {n}?",
            "The return label for order {n} does not print.",
            "Where is the money for the {product} I returned?",
        ],
        [
            "My {product} does not start after the update.",
            "{product} loses the connection several times a day.",
            "I get error {n} when I open {product}.",
            "The {product} app logs me out every hour.",
            "How do I reset my {product}?",
            "{product} is slow since yesterday, is there a known fault?",
        ],
        [
            "I cannot sign in, the code never arrives.",
            "Please change the e-mail address of my account.",
            "How do I add a second user to {product}?",
            "My account was locked after three attempts.",
            "Please update my delivery address, reference {n}.",
            "I would like to see what data you hold about me.",
        ],
        [
            "I would like to cancel {product} at the end of the month.",
            "How do I end my contract {n}?",
            "Please stop the renewal of {product}.",
            "What does it cost to leave {product} early?",
            "I received no confirmation for cancellation {n}.",
            "Can I pause {product} instead of cancelling?",
        ],
        [
            "Does {product} work with my older device?",
            "What is the difference between {product} and the smaller model?",
            "Is {product} available in another colour?",
            "Which plan of {product} fits a team of {n}?",
            "When does the next version of {product} come out?",
            "Is there a trial of {product}?",
        ],
    ],
    again: [
        "This is the second time I ask.",
        "I already wrote about this and it is still not fixed.",
        "Nobody solved it last time, this is frustrating.",
        "I was promised a solution and nothing happened, I am disappointed.",
        "Why do I have to explain this terrible problem again?",
        "Please, somebody look at it properly this time.",
        "I am losing patience.",
        "The last answer was useless.",
    ],
    closers: [
        "Thank you.",
        "Thanks for your help!",
        "Please advise.",
        "Kind regards.",
        "It is urgent.",
        "I am a bit worried.",
        "No hurry.",
        "Please call me back.",
    ],
    space: " ",
};

const CHINESE: Language = Language {
    subjects: [
        ["我的发票", "账单上的费用", "退款"],
        ["我的包裹", "这次配送", "快递"],
        ["退货", "换货", "我退回的订单"],
        ["技术支持", "设备安装", "故障维修"],
        ["账户修改", "我的登录问题", "地址变更"],
        ["取消手续", "合同终止", "合同变更"],
        ["产品咨询", "客服的建议", "产品介绍"],
    ],
    pleased: Parts {
        openers: [
            "非常满意。",
            "服务很好！",
            "体验不错。",
            "客服态度特别好。",
            "太棒了！",
            "点赞！",
            "感谢你们。",
            "很专业。",
            "超出预期。",
            "",
        ],
        opinions: [
            "处理得又快又好。",
            "几分钟就解决了，效率很高。",
            "已经解决，大家都很热心。",
            "办得很顺利，客服很耐心。",
            "解释得清楚，让人放心。",
            "当天就办好了，真不错。",
            "处理得很周到，我很开心。",
            "比我想的还要好。",
            "完美解决，非常感谢。",
            "一次就办成了，很省心。",
        ],
        closers: [
            "谢谢！",
            "会推荐给朋友。",
            "五星好评。",
            "希望继续保持。",
            "下次还会购买。",
            "客服很友善。",
            "值得信赖。",
            "很喜欢。",
            "",
            "",
        ],
    },
    even: Parts {
        openers: [
            "还可以。",
            "一般。",
            "没什么特别的。",
            "和预想的差不多。",
            "马马虎虎。",
            "普普通通。",
            "说不上好坏。",
            "凑合。",
            "中规中矩。",
            "",
        ],
        opinions: [
            "花了一些时间，最后办完了。",
            "按照一般流程处理了。",
            "比预计多走了两步。",
            "办完了，不过问了两次。",
            "和网站上写的一样。",
            "比上次久一点，但是办好了。",
            "只回答了一部分。",
            "目前还在处理中。",
            "处理了，表格有点长。",
            "时间和他们说的差不多。",
        ],
        closers: [
            "再看看吧。",
            "表格可以短一点。",
            "回个电话就行。",
            "就这样。",
            "下个月再看。",
            "可以再快一点。",
            "没有别的意见。",
            "",
            "",
            "",
        ],
    },
    annoyed: Parts {
        openers: [
            "非常失望。",
            "太让人生气了。",
            "服务很差。",
            "糟糕透了。",
            "浪费时间。",
            "体验极差。",
            "无法接受。",
            "很不满意。",
            "太慢了。",
            "",
        ],
        opinions: [
            "还是有问题，没有人管。",
            "从一开始就很混乱。",
            "又失败了，被推来推去。",
            "已经第三次出错了。",
            "没有人理，客服态度恶劣。",
            "拖了很久，结果毫无用处。",
            "处理得很糟，我只好投诉。",
            "简直是灾难，又要从头解释。",
            "无缘无故被拒绝，真烦人。",
            "在部门之间转来转去，最后弄丢了。",
        ],
        closers: [
            "再这样我就不用了。",
            "这是我遇到过最差的客服。",
            "讨厌一直排队等待。",
            "没有人回电话，太差了。",
            "我受够了。",
            "再也不买了。",
            "过程太痛苦。",
            "后悔在这里购买。",
            "",
            "",
        ],
    },
    requests: [
        [
            "我的{product}账单上有一笔不认识的费用。",
            "这个月{product}重复扣款了。",
            "订单{n}的退款什么时候到账？",
            "请把订单{n}的发票寄到新地址。",
            "账单上没有{product}的优惠。",
            "发票{n}可以分两次付款吗？",
        ],
        [
            "订单{n}还没有送到。",
            "{product}的物流信息好几天没有更新了。",
            "装{product}的包裹送错了地址。",
            "订单{n}可以周六送货吗？",
            "{product}送到时包装是打开的。",
            "订单{n}少了一半东西。",
        ],
        [
            "我想退{product}，怎么拿退货单？",
            "订单{n}我已经寄回，你们收到了吗？",
            "{product}不合适，可以换货吗？",
            "订单{n}多久之内可以退？",
            "订单{n}的退货单打印不出来。",
            "我退回的{product}，钱在哪里？",
        ],
        [
            "更新以后我的{product}无法启动。",
            "{product}每天断线好几次。",
            "打开{product}时出现错误{n}。",
            "{product}的应用每小时都要重新登录。",
            "怎么重置我的{product}？",
            "{product}从昨天开始变慢，是有故障吗？",
        ],
        [
            "我无法登录，一直收不到验证码。",
            "请修改我账户的邮箱。",
            "怎样给{product}增加第二个用户？",
            "试了三次以后账户被锁定了。",
            "请更新我的收货地址，编号{n}。",
            "我想看看你们保存了我哪些资料。",
        ],
        [
            "我想在月底取消{product}。",
            "怎样终止合同{n}？",
            "请停止{product}的自动续费。",
            "提前退订{product}要多少钱？",
            "取消申请{n}没有收到确认。",
            "可以暂停{product}而不取消吗？",
        ],
        [
            "{product}能配合我的旧设备使用吗？",
            "{product}和小型号有什么区别？",
            "{product}还有别的颜色吗？",
            "{n}个人的团队适合{product}的哪个方案？",
            "{product}的下一个版本什么时候推出？",
            "{product}可以试用吗？",
        ],
    ],
    again: [
        "这是我第二次问了。",
        "我已经反映过，问题还是没有解决。",
        "上次没有人解决，真让人失望。",
        "答应给我解决，结果什么都没做，很生气。",
        "为什么又要重新解释这个糟糕的问题？",
        "请这次认真处理一下。",
        "我快没有耐心了。",
        "上次的答复毫无用处。",
    ],
    closers: ["谢谢。", "感谢帮助！", "请回复。", "祝好。", "比较着急。", "我有点担心。", "不着急。", "请给我回电话。"],
    space: "",
};

fn language(chinese: bool) -> &'static Language {
    if chinese { &CHINESE } else { &ENGLISH }
}

fn one_of<T: Copy + Default, const N: usize>(parts: &[T; N], rng: &mut Pcg64Mcg) -> T {
    parts.get(rng.random_range(0..N)).copied().unwrap_or_default()
}

fn append(text: &mut String, sentence: &str, space: &str) {
    if !text.is_empty() && !sentence.is_empty() {
        text.push_str(space);
    }
    text.push_str(sentence);
}

/// Replaces `text` by a survey comment.
pub(crate) fn comment(text: &mut String, chinese: bool, topic: u8, mood: Mood, rng: &mut Pcg64Mcg) {
    let words = language(chinese);
    let parts = match mood {
        Mood::Pleased => &words.pleased,
        Mood::Even => &words.even,
        Mood::Annoyed => &words.annoyed,
    };
    text.clear();
    append(text, one_of(&parts.openers, rng), words.space);
    let subject = words.subjects.get(usize::from(topic)).map_or("", |subjects| one_of(subjects, rng));
    append(text, subject, words.space);
    append(text, one_of(&parts.opinions, rng), words.space);
    append(text, one_of(&parts.closers, rng), words.space);
}

/// Replaces `text` by the text of a contact.
pub(crate) fn request(text: &mut String, chinese: bool, topic: u8, product: &str, again: bool, rng: &mut Pcg64Mcg) {
    let words = language(chinese);
    text.clear();
    let mut rest = words.requests.get(usize::from(topic)).map_or("", |requests| one_of(requests, rng));
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        text.push_str(before);
        let close = from.find('}').map_or(from.len(), |at| at + 1);
        let (name, after) = from.split_at(close);
        if name == "{product}" {
            text.push_str(product);
        } else {
            append_number(text, rng.random_range(12..990));
        }
        rest = after;
    }
    text.push_str(rest);
    if again && rng.random_bool(0.8) {
        append(text, one_of(&words.again, rng), words.space);
    } else if rng.random_bool(0.35) {
        append(text, one_of(&words.closers, rng), words.space);
    }
}

fn append_number(text: &mut String, number: u32) {
    if number >= 10 {
        append_number(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::HashSet;

    #[test]
    fn comments_are_varied_and_in_their_language() {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let mut text = String::new();
        for chinese in [false, true] {
            for mood in [Mood::Pleased, Mood::Even, Mood::Annoyed] {
                let mut seen = HashSet::new();
                for draw in 0..700 {
                    comment(&mut text, chinese, (draw % 7) as u8, mood, &mut rng);
                    assert_eq!(chinese, !text.is_ascii(), "{text}");
                    assert!(!text.contains("  ") && !text.starts_with(' ') && !text.ends_with(' '), "{text}");
                    seen.insert(text.clone());
                }
                assert!(seen.len() > 550, "{mood:?} {} different of 700", seen.len());
            }
        }
    }

    #[test]
    fn requests_fill_in_every_blank() {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let mut text = String::new();
        let mut named = 0;
        for chinese in [false, true] {
            for draw in 0..2000 {
                request(&mut text, chinese, (draw % 7) as u8, "Atlas", draw % 3 == 0, &mut rng);
                assert!(!text.contains(['{', '}']), "{text}");
                assert!(text.chars().count() > 5, "{text}");
                named += u32::from(text.contains("Atlas"));
            }
        }
        assert!(named > 1000, "{named}");
    }
}
