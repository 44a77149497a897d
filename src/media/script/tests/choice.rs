//! Languages are offered at the start.

use super::*;

/// A call in English that offers English and, for want of another recording, English again: with
/// the greeting of another brand, by which the two are told apart.
struct Choice {
    talk: Talk,
    offers: Vec<Offer>,
}

fn choice() -> Choice {
    let pack = pack();
    let lines = |brand| Lines::of(pack, brand, Kind::Confirm).expect("it is whole");
    let own = lines(None);
    let offers: Vec<Offer> = [lines(None), lines(Some("Octothorpe"))]
        .into_iter()
        .zip(1..)
        .map(|(lines, place)| Offer::of(pack, lines, place).expect("it is whole"))
        .collect();
    let settings = Settings::default();
    let script = Script::new(settings, Question::Confirm, own.clone(), offers.clone());
    Choice { talk: Talk { script, lines: own, now: Timestamp::from_secs(1_000) }, offers }
}

#[test]
fn each_language_says_its_own_key() {
    let Choice { mut talk, offers } = choice();
    let said: Vec<[PhraseId; 2]> = offers.iter().map(|it| [it.choose, it.key]).collect();
    assert_eq!(talk.on(Input::Answered), [Output::Speak(Some(0)), play(&said[0])]);
    assert_eq!(talk.on(Input::PhraseDone), [Output::Speak(Some(1)), play(&said[1])]);
    assert_eq!(talk.on(Input::PhraseDone), []);
    let until = talk.now + Duration::from_secs(5);
    assert_eq!(talk.script.deadline(), Some((until, Timer::Choosing)));
    assert_ne!(offers[0].key, offers[1].key);
}

#[test]
fn a_key_chooses_at_once_and_the_call_goes_on_in_that_language() {
    let Choice { mut talk, offers } = choice();
    talk.on(Input::Answered);
    let chosen = &offers[1].lines;
    let out = talk.key('2');
    assert_eq!(out, [Output::StopPlaying, Output::Speak(Some(1)), play(&[chosen.greeting])]);
    assert_eq!(talk.on(Input::PhraseDone), [play(&[chosen.ask])]);
}

#[test]
fn a_key_chooses_in_the_silence_after_the_offers_too() {
    let Choice { mut talk, offers } = choice();
    talk.on(Input::Answered);
    talk.on(Input::PhraseDone);
    talk.on(Input::PhraseDone);
    let greeting = [offers[0].lines.greeting];
    assert_eq!(talk.key('1'), [Output::Speak(Some(0)), play(&greeting)]);
}

#[test]
fn who_chooses_nothing_hears_the_calls_own_language() {
    let Choice { mut talk, .. } = choice();
    talk.on(Input::Answered);
    talk.on(Input::PhraseDone);
    talk.on(Input::PhraseDone);
    let greeting = [talk.lines.greeting];
    assert_eq!(talk.lapse(), [Output::Speak(None), play(&greeting)]);
}

#[test]
fn other_keys_choose_nothing_and_answer_nothing() {
    let Choice { mut talk, .. } = choice();
    talk.on(Input::Answered);
    for key in ['#', '*', '0', '3', '9', 'A'] {
        assert_eq!(talk.key(key), [Output::Note(Note::KeyIgnored)], "{key}");
    }
    assert_eq!(talk.script.state(), State::Offering { place: 0 });
    talk.key('1');
    assert_eq!(talk.key('#'), [Output::Note(Note::KeyTooEarly)]);
}

#[test]
fn one_language_is_no_choice() {
    let Choice { talk, mut offers } = choice();
    offers.truncate(1);
    let settings = Settings::default();
    let mut script = Script::new(settings, Question::Confirm, talk.lines.clone(), offers);
    let mut out = Vec::new();
    script.on(talk.now, Input::Answered, &mut out);
    assert_eq!(out, [play(&[talk.lines.greeting])]);
}

#[test]
fn who_speaks_over_the_first_offer_hears_them_again_and_may_choose_before() {
    let Choice { mut talk, offers } = choice();
    talk.on(Input::Answered);
    let begun = Input::Talk(listening::Talk::Begun { at: talk.now });
    talk.pass(500);
    assert_eq!(talk.on(begun), [Output::StopPlaying]);
    let mut other = talk.script.clone();
    let first = play(&[offers[0].choose, offers[0].key]);
    assert_eq!(talk.on(Input::Talk(listening::Talk::Over)), [Output::Speak(Some(0)), first]);
    let mut out = Vec::new();
    other.on(talk.now, Input::Key { digit: Digit::ONE, at: talk.now }, &mut out);
    assert_eq!(out, [Output::Speak(Some(0)), play(&[offers[0].lines.greeting])]);
}
