//! What is read and written.

use std::time::Duration;

use zeroize::Zeroizing;

use super::inbox::{Inbox, Post};
use super::link::Submit;
use super::pdu::{self, Deliver, Frames, command};
use super::plan::{TooLong, plan};
use super::report::{Ledger, Report};
use super::{Alphabet, Answer, Ids, Invalid, Numbering, Settings};
use crate::ambient::Timestamp;
use crate::carrier::{News, Text};
use crate::verify::gsm;
use crate::verify::number::PhoneNumber;
use crate::verify::signal::{Cause, Reason};

pub(super) const START: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(super) const OURS: &str = "+14155550199";
const THEIRS: &str = "+14155550132";

pub(super) fn settings() -> Settings {
    let password = Zeroizing::new("pass1234".to_owned());
    Settings::new("metro", ("smsc.example", 2775), "octothorpe", password, OURS)
}

pub(super) fn phone() -> PhoneNumber {
    THEIRS.parse().unwrap()
}

// ---- The wire

/// The body of a `deliver_sm`.
pub(super) fn deliver_body(
    from: (u8, &str),
    class: u8,
    coding: u8,
    message: &[u8],
    tlvs: &[u8],
) -> Vec<u8> {
    let mut body = vec![0, from.0, 1];
    body.extend(from.1.as_bytes());
    body.extend([0, 1, 1]);
    body.extend(OURS.trim_start_matches('+').as_bytes());
    body.extend([0, class, 0, 0, 0, 0, 0, 0, coding, 0, u8::try_from(message.len()).unwrap()]);
    body.extend(message);
    body.extend(tlvs);
    body
}

fn deliver(class: u8, coding: u8, message: &[u8], tlvs: &[u8]) -> Deliver {
    Deliver::read(&deliver_body((1, "14155550132"), class, coding, message, tlvs)).unwrap()
}

fn tlv(tag: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    [&tag.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
}

/// A whole PDU.
pub(super) fn frame(command: u32, status: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap();
    let header = [length, command, status, sequence].map(u32::to_be_bytes).concat();
    [&header[..], body].concat()
}

#[test]
fn a_bind_is_written_as_the_specification_says() {
    let mut wanted = b"octothorpe\0pass1234\0\0\x34\0\0\0".to_vec();
    wanted = frame(command::BIND_TRANSCEIVER, 0, 1, &wanted);
    assert_eq!(*pdu::bind(&settings(), 1), wanted);
}

#[test]
fn a_submit_has_class_0_and_wants_a_receipt() {
    let parts = plan("Your code is 424242", Alphabet::Gsm7, 7).unwrap();
    let valid = Duration::from_secs(5 * 60);
    let octets = pdu::submit(&settings(), "14155550132", &parts[0], valid, 3);
    let mut body = b"\0\x01\x0114155550199\0\x01\x0114155550132\0".to_vec();
    // Class, protocol, priority, and no schedule.
    body.extend([0; 4]);
    body.extend(b"000000000500000R\0\x01\0\0\0\x13Your code is 424242");
    assert_eq!(*octets, frame(command::SUBMIT_SM, 0, 3, &body));
}

#[test]
fn a_relative_time_has_sixteen_characters() {
    assert_eq!(pdu::validity(Duration::from_secs(600)), "000000001000000R");
    assert_eq!(pdu::validity(Duration::from_secs(93_784)), "000001020304000R");
    assert_eq!(pdu::validity(Duration::ZERO), "000000000001000R");
    assert_eq!(pdu::validity(Duration::MAX), "000030000000000R");
}

#[test]
fn pdus_are_told_apart_however_they_are_cut() {
    let stream = [frame(1, 2, 3, b"abc"), frame(4, 5, 6, b"")].concat();
    for size in 1..stream.len() {
        let mut frames = Frames::default();
        let mut seen = Vec::new();
        for octets in stream.chunks(size) {
            frames.push(octets);
            while let Some(frame) = frames.next().unwrap() {
                seen.push((frame.command, frame.status, frame.sequence, frame.body.to_vec()));
            }
        }
        assert_eq!(seen, [(1, 2, 3, b"abc".to_vec()), (4, 5, 6, Vec::new())]);
    }
    for length in [0_u32, 15, 70_001, u32::MAX] {
        let mut frames = Frames::default();
        frames.push(&length.to_be_bytes());
        assert!(frames.next().is_err(), "{length}");
    }
}

// ---- Texts to send

#[test]
fn a_short_text_is_one_part_in_the_default_alphabet() {
    let parts = plan("Code @ 12€", Alphabet::Gsm7, 7).unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!((parts[0].esm_class, parts[0].data_coding), (0, 0));
    assert_eq!(*parts[0].message, b"Code \x00 12\x1b\x65");
}

#[test]
fn a_long_text_is_numbered_in_user_data_headers() {
    let text: String = ('a'..='z').cycle().take(400).collect();
    let parts = plan(&text, Alphabet::Gsm7, 0xab).unwrap();
    assert_eq!(parts.len(), 3);
    let mut whole = String::new();
    for (number, part) in (1..).zip(&parts) {
        assert_eq!((part.esm_class, part.data_coding), (0x40, 0));
        assert_eq!(part.message[..6], [5, 0, 3, 0xab, 3, number]);
        assert!(part.message.len() <= 6 + 153);
        whole.push_str(&gsm::unpack(&part.message[6..]));
    }
    assert_eq!(whole, text);
}

#[test]
fn what_the_alphabet_lacks_is_written_in_ucs_2() {
    let parts = plan("Код 42", Alphabet::Gsm7, 1).unwrap();
    assert_eq!((parts.len(), parts[0].data_coding), (1, 8));
    assert_eq!(gsm::from_ucs2(&parts[0].message), "Код 42");
    // Emoji take two units each and are not cut in half.
    for alphabet in [Alphabet::Gsm7, Alphabet::Ucs2, Alphabet::Latin1] {
        let parts = plan(&"👍".repeat(36), alphabet, 1).unwrap();
        let sizes: Vec<_> = parts.iter().map(|part| part.message.len() - 6).collect();
        assert_eq!(sizes, [132, 12], "{alphabet:?}");
    }
}

#[test]
fn other_alphabets_are_used_when_they_are_configured() {
    let parts = plan("Übung ^", Alphabet::Latin1, 1).unwrap();
    assert_eq!(parts[0].data_coding, 3);
    assert_eq!(*parts[0].message, b"\xdcbung ^");
    assert_eq!(plan(&"a".repeat(140), Alphabet::Latin1, 1).unwrap().len(), 1);
    assert_eq!(plan(&"a".repeat(141), Alphabet::Latin1, 1).unwrap().len(), 2);
    let parts = plan("abc", Alphabet::Ucs2, 1).unwrap();
    assert_eq!((parts[0].data_coding, parts[0].message.len()), (8, 6));
    assert_eq!(plan(&"a".repeat(71), Alphabet::Ucs2, 1).unwrap().len(), 2);
}

#[test]
fn a_text_of_too_many_parts_is_refused() {
    assert_eq!(plan(&"a".repeat(255 * 153), Alphabet::Gsm7, 1).unwrap().len(), 255);
    assert_eq!(plan(&"a".repeat(255 * 153 + 1), Alphabet::Gsm7, 1), Err(TooLong));
    assert_eq!(plan("", Alphabet::Gsm7, 1).unwrap().len(), 1);
}

#[test]
fn an_address_is_numbered_as_it_looks() {
    for (address, numbering) in [
        ("+14155550199", Numbering::INTERNATIONAL),
        ("4915112345678", Numbering::INTERNATIONAL),
        ("55155", Numbering::SHORT_CODE),
        ("1234567", Numbering::SHORT_CODE),
        ("Example", Numbering::NAME),
        ("3M", Numbering::NAME),
    ] {
        assert_eq!(Numbering::of(address), numbering, "{address}");
    }
}

#[test]
fn settings_that_cannot_be_written_are_refused_and_none_shows_a_secret() {
    assert_eq!(settings().check(), Ok(()));
    let with = |change: fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        settings.check().unwrap_err()
    };
    assert_eq!(with(|it| it.system_id = "a-name-that-is-too-long".to_owned()), Invalid::SystemId);
    assert_eq!(with(|it| it.password = Zeroizing::new("a\0b".to_owned())), Invalid::Password);
    assert_eq!(with(|it| it.system_type = "é".to_owned()), Invalid::SystemType);
    assert_eq!(with(|it| it.from = String::new()), Invalid::From);
    assert_eq!(with(|it| it.window = 0), Invalid::Window);
    let shown = format!("{:?}", settings());
    assert!(!shown.contains("pass1234") && !shown.contains("4155550199"), "{shown}");
    let part = plan("secret 4242", Alphabet::Gsm7, 0).unwrap().remove(0);
    let submit = Submit { to: phone(), part, valid: Duration::ZERO, parts: 1, handle: None };
    let shown = format!("{submit:?}");
    assert!(!shown.contains("4242") && !shown.contains("4155550132"), "{shown}");
}

// ---- Answers and receipts

#[test]
fn a_status_is_read_as_taken_throttled_or_refused() {
    assert_eq!(Answer::of(0), Answer::Taken);
    assert_eq!(Answer::of(0x58), Answer::Throttled);
    assert_eq!(Answer::of(0x14), Answer::Throttled);
    for (status, reason, word) in [
        (0x0b, Reason::InvalidNumber, "ESME_RINVDSTADR (0x0000000b)"),
        (0x45, Reason::CarrierError, "ESME_RSUBMITFAIL (0x00000045)"),
        (0x0400, Reason::CarrierError, "a status of its own (0x00000400)"),
    ] {
        let Answer::Refused(cause) = Answer::of(status) else { panic!("{status:#x}") };
        assert_eq!(cause.reason, reason);
        assert!(cause.detail.unwrap().contains(word), "{word}");
    }
}

fn undelivered(detail: &str) -> Option<News> {
    Some(News::Ended(Cause::because(Reason::Undelivered, detail)))
}

pub(super) fn said(stat: &str) -> String {
    format!(
        "id:0a1b2c sub:001 dlvrd:001 submit date:2601311200 done date:2601311201 \
         stat:{stat} err:012 text:Your code"
    )
}

#[test]
fn a_receipt_is_read_from_its_text() {
    for (stat, news) in [
        ("DELIVRD", Some(News::Delivered)),
        ("delivered", Some(News::Delivered)),
        ("ENROUTE", Some(News::Sent)),
        ("ACCEPTD", Some(News::Sent)),
        ("UNDELIV", undelivered("UNDELIVERABLE, error 012")),
        ("EXPIRED", undelivered("EXPIRED, error 012")),
        ("DELETED", undelivered("DELETED, error 012")),
        ("REJECTD", undelivered("REJECTED, error 012")),
        ("UNKNOWN", None),
        ("WHATEVER", None),
    ] {
        let report = Report::read(&deliver(0x04, 0, said(stat).as_bytes(), &[])).unwrap();
        assert_eq!(report, Report { id: "0a1b2c".to_owned(), news }, "{stat}");
    }
}

#[test]
fn a_receipt_is_read_from_its_parameters() {
    for (state, news) in [
        (1, Some(News::Sent)),
        (2, Some(News::Delivered)),
        (3, undelivered("EXPIRED")),
        (4, undelivered("DELETED")),
        (5, undelivered("UNDELIVERABLE")),
        (6, Some(News::Sent)),
        (7, None),
        (8, undelivered("REJECTED")),
        (99, None),
    ] {
        let tlvs = [tlv(0x001e, b"0a1b2c\0"), tlv(0x0427, &[state])].concat();
        let report = Report::read(&deliver(0x04, 0, b"", &tlvs)).unwrap();
        assert_eq!(report, Report { id: "0a1b2c".to_owned(), news }, "{state}");
    }
}

#[test]
fn odd_receipts_are_read_too() {
    let id = |deliver: &Deliver| Report::read(deliver).map(|report| (report.id, report.news));
    let delivered = |name: &str| Some((name.to_owned(), Some(News::Delivered)));
    // The parameter's NUL is missing, and another parameter is cut off.
    let tlvs = [tlv(0x001e, b"77"), tlv(0x0427, &[2]), vec![0x14, 0x00, 0, 9]].concat();
    assert_eq!(id(&deliver(0x04, 0, b"", &tlvs)), delivered("77"));
    // The class does not tell, the parameters do.
    assert_eq!(id(&deliver(0, 0, b"", &tlvs)), delivered("77"));
    // The parameters go first.
    let text = b"id:88 stat:UNDELIV err:001 text:";
    assert_eq!(id(&deliver(0x04, 0, text, &tlvs)), delivered("77"));
    // A parameter and a text, each with a half.
    assert_eq!(id(&deliver(0x04, 0, b"id:88 sub:001", &tlv(0x0427, &[2]))), delivered("88"));
    let text = b"sub:001 stat:DELIVRD err:000 text:";
    assert_eq!(id(&deliver(0x04, 0, text, &tlv(0x001e, b"99\0"))), delivered("99"));
    // Another order and case, no dates; in UCS-2; in a payload; an intermediate one.
    assert_eq!(id(&deliver(0x04, 0, b"ID:a_b Stat:DELIVRD ERR:0 Text:", &[])), delivered("a_b"));
    let wide = gsm::ucs2("id:5 stat:DELIVRD");
    assert_eq!(id(&deliver(0x04, 8, &wide, &[])), delivered("5"));
    let payload = tlv(0x0424, b"id:6 stat:DELIVRD");
    assert_eq!(id(&deliver(0x04, 0, b"", &payload)), delivered("6"));
    let enroute = deliver(0x20, 0, b"id:7 stat:ENROUTE", &[]);
    assert_eq!(id(&enroute), Some(("7".to_owned(), Some(News::Sent))));
    // What the text quotes is not what became of it, and an empty field has no value.
    let quoted = deliver(0x04, 0, b"id:8 text:stat:DELIVRD stat:DELIVRD", &[]);
    assert_eq!(id(&quoted), Some(("8".to_owned(), None)));
    assert_eq!(id(&deliver(0x04, 0, b"id: sub:001 stat:DELIVRD", &[])), None);
}

#[test]
fn a_person_cannot_write_a_receipt() {
    let deliver = deliver(0, 0, said("DELIVRD").as_bytes(), &[]);
    assert_eq!(Report::read(&deliver), None);
}

#[test]
fn names_that_are_spelt_in_two_ways_are_the_same() {
    assert_eq!(Ids::HexInAnswers.answered("1A2b"), "6699");
    assert_eq!(Ids::HexInAnswers.reported("0000006699"), "6699");
    assert_eq!(Ids::HexInReceipts.reported("00001A2B"), Ids::HexInReceipts.answered("6699"));
    assert_eq!(Ids::HexInReceipts.reported("not hex"), "not hex");
    assert_eq!(Ids::Same.reported("00af"), Ids::Same.answered("00af"));
}

#[test]
fn a_text_of_parts_is_delivered_when_all_of_it_is() {
    let mut ledger = Ledger::default();
    for id in ["a", "b", "c"] {
        ledger.note("a", 3, id);
    }
    let mut hear = |id: &str, news| ledger.hear(id.to_owned(), news);
    assert_eq!(hear("b", News::Sent), None);
    assert_eq!(hear("a", News::Sent), Some(("a".to_owned(), News::Sent)));
    assert_eq!(hear("b", News::Delivered), None);
    assert_eq!(hear("b", News::Delivered), None);
    assert_eq!(hear("a", News::Delivered), None);
    assert_eq!(hear("c", News::Delivered), Some(("a".to_owned(), News::Delivered)));
    // Known no more, and never known: they speak for themselves.
    assert_eq!(hear("z", News::Delivered), Some(("z".to_owned(), News::Delivered)));

    let mut ledger = Ledger::default();
    ledger.note("a", 2, "a");
    ledger.note("a", 2, "b");
    let lost = undelivered("EXPIRED").unwrap();
    assert_eq!(ledger.hear("b".to_owned(), lost.clone()), Some(("a".to_owned(), lost)));
}

// ---- Texts of people

fn take(inbox: &mut Inbox, deliver: &Deliver, now: Timestamp) -> Post {
    inbox.take(&settings(), deliver, "1".to_owned(), now)
}

fn text(body: &str) -> Post {
    let (id, to) = ("1".to_owned(), OURS.to_owned());
    Post::Whole(Text { id, from: phone(), to, body: body.to_owned().into() })
}

#[test]
fn a_text_is_read_in_each_coding() {
    let mut inbox = Inbox::default();
    for (coding, octets, said) in [
        (0, b"YES \x00".to_vec(), "YES @"),
        (1, b"YES @".to_vec(), "YES @"),
        (3, b"S\xcd".to_vec(), "SÍ"),
        (8, gsm::ucs2("Да 👍"), "Да 👍"),
        (0xf1, b"YES".to_vec(), "YES"),
    ] {
        assert_eq!(take(&mut inbox, &deliver(0, coding, &octets, &[]), START), text(said));
    }
    let payload = deliver(0, 0, b"", &tlv(0x0424, b"YES"));
    assert_eq!(take(&mut inbox, &payload, START), text("YES"));
    let binary = deliver(0, 4, b"\x01\x02", &[]);
    assert_eq!(take(&mut inbox, &binary, START), Post::Unread);
    let acknowledged = deliver(0x08, 0, b"YES", &[]);
    assert_eq!(take(&mut inbox, &acknowledged, START), Post::Unread);
}

#[test]
fn a_sender_is_a_phone_number_however_it_is_written() {
    for (from, known) in [
        ((1, "14155550132"), true),
        ((1, "+14155550132"), true),
        ((0, "14155550132"), true),
        ((0, "0014155550132"), true),
        ((2, "4155550132"), false),
        ((5, "Example"), false),
        ((3, "55155"), false),
    ] {
        let deliver = Deliver::read(&deliver_body(from, 0, 0, b"YES", &[])).unwrap();
        let post = take(&mut Inbox::default(), &deliver, START);
        assert_eq!(post == text("YES"), known, "{from:?}");
    }
}

/// A part with an 8-bit reference.
fn part(number: u8, total: u8, said: &str) -> Deliver {
    let message = [&[5, 0, 3, 9, total, number], said.as_bytes()].concat();
    deliver(0x40, 0, &message, &[])
}

#[test]
fn the_parts_of_a_text_are_put_together_in_any_order() {
    let mut inbox = Inbox::default();
    assert_eq!(take(&mut inbox, &part(3, 3, "not me"), START), Post::Part);
    assert_eq!(take(&mut inbox, &part(1, 3, "this "), START), Post::Part);
    assert_eq!(take(&mut inbox, &part(1, 3, "this "), START), Post::Part);
    assert_eq!(take(&mut inbox, &part(2, 3, "was "), START), text("this was not me"));
    assert_eq!(inbox.deadline(), Timestamp::MAX);

    // A 16-bit reference behind another element, and the parameters that say the same.
    let wide = |number: u8, said: &str| {
        let header = [10, 0x24, 1, 3, 0x08, 4, 1, 2, 2, number, 0];
        deliver(0x40, 0, &[&header[..], said.as_bytes()].concat(), &[])
    };
    assert_eq!(take(&mut inbox, &wide(1, "YE"), START), Post::Part);
    assert_eq!(take(&mut inbox, &wide(2, "S"), START), text("YES"));
    let sar = |number: u8, said: &str| {
        let tlvs = [tlv(0x020c, &[0, 7]), tlv(0x020e, &[2]), tlv(0x020f, &[number])].concat();
        deliver(0, 0, said.as_bytes(), &tlvs)
    };
    assert_eq!(take(&mut inbox, &sar(2, "O"), START), Post::Part);
    assert_eq!(take(&mut inbox, &sar(1, "N"), START), text("NO"));
}

#[test]
fn half_a_text_is_given_up_and_never_passed_on() {
    let mut inbox = Inbox::default();
    assert_eq!(take(&mut inbox, &part(1, 2, "YES, "), START), Post::Part);
    assert_eq!(inbox.expire(inbox.deadline() - Duration::from_micros(1)), 0);
    assert_eq!(inbox.expire(inbox.deadline()), 1);
    assert_eq!(take(&mut inbox, &part(2, 2, "I was robbed"), START), Post::Part);
    for (number, total) in [(0, 2), (3, 2), (1, 17), (200, 255)] {
        assert_eq!(take(&mut inbox, &part(number, total, "x"), START), Post::Unread);
    }
    assert_eq!(inbox.expire(Timestamp::MAX), 1);
    // However many are begun, few are kept.
    for reference in 0..=255 {
        for total in [2, 3] {
            let message = [5, 0, 3, reference, total, 1, b'x'];
            assert_eq!(take(&mut inbox, &deliver(0x40, 0, &message, &[]), START), Post::Part);
        }
    }
    assert_eq!(inbox.expire(Timestamp::MAX), 256);
}
