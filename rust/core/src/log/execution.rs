//! How an attempt at a quantum went, written and read.
//!
//! What a line says of that is one object: its status, what it took, and the exception that ended it. Status and
//! caveats are upstream's numbers.

use std::borrow::Cow;
use std::fmt::Write;

use super::time;
use crate::provenance::{Scanner, first, write_text};

/// Members that are whole numbers, in the order in which they are written: `Whole` names their places.
pub const WHOLE: [&str; 8] =
    ["status", "caveats", "attempt", "process", "memory", "earlier_quanta", "n_get", "n_put"];

/// Members that are numbers of seconds, in the order in which they are written.
pub const SECONDS: [&str; 8] = [
    "prep_time",
    "init_time",
    "run_time",
    "run_time_cpu",
    "time_in_get",
    "time_in_put",
    "start_time_cpu",
    "graph_read_time",
];

/// Keys in the order in which they are written: whole numbers, seconds, and what is a text or an object.
const KEYS: [&str; 19] = [
    "\"status\":",
    "\"caveats\":",
    "\"attempt\":",
    "\"process\":",
    "\"memory\":",
    "\"earlier_quanta\":",
    "\"n_get\":",
    "\"n_put\":",
    "\"prep_time\":",
    "\"init_time\":",
    "\"run_time\":",
    "\"run_time_cpu\":",
    "\"time_in_get\":",
    "\"time_in_put\":",
    "\"start_time_cpu\":",
    "\"graph_read_time\":",
    "\"start\":",
    "\"host\":",
    "\"exception\":",
];
const START: usize = WHOLE.len() + SECONDS.len();
const HOST: usize = START + 1;

/// Keys of an exception.
const EXCEPTION_KEYS: [&str; 2] = ["\"type\":", "\"message\":"];

/// How an attempt went, as far as that is known.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Execution<'a> {
    /// The members of `WHOLE`.
    pub whole: [Option<i64>; WHOLE.len()],
    /// The members of `SECONDS`; finite.
    pub seconds: [Option<f64>; SECONDS.len()],
    /// When it began to prepare, in microseconds since 1970.
    pub start: Option<i64>,
    /// Name of the machine.
    pub host: Option<Cow<'a, str>>,
    /// What ended it.
    pub exception: Option<Exception<'a>>,
}

/// An exception that ended an attempt, or that it went on after with less than all outputs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Exception<'a> {
    /// Name of its class, with the module.
    pub type_name: Cow<'a, str>,
    /// What it says.
    pub message: Cow<'a, str>,
}

/// When the steps of an attempt began, as texts of ISO 8601, and the CPU time until then.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Steps {
    /// When it began to prepare.
    pub prep: Option<String>,
    /// When it began to make the task.
    pub init: Option<String>,
    /// When it began to run the task.
    pub start: Option<String>,
    /// When that ended.
    pub end: Option<String>,
    /// Seconds of CPU time when the task began to run.
    pub start_cpu: Option<f64>,
    /// Seconds of CPU time when it ended.
    pub end_cpu: Option<f64>,
}

/// Appends an attempt.
pub(super) fn write(line: &mut Vec<u8>, execution: &Execution<'_>) {
    let mut numbers = String::new();
    let mut keys = KEYS.iter();
    let mut put = |known: bool, number: &dyn Fn(&mut String)| {
        numbers.push(if numbers.is_empty() { '{' } else { ',' });
        numbers.push_str(keys.next().expect("there is a key for each number"));
        if known { number(&mut numbers) } else { numbers.push_str("null") }
    };
    for whole in execution.whole {
        put(whole.is_some(), &|out| write!(out, "{}", whole.unwrap_or(0)).expect("memory can be written to"));
    }
    for seconds in execution.seconds {
        // JSON has no other numbers.
        let seconds = seconds.filter(|seconds| seconds.is_finite());
        put(seconds.is_some(), &|out| {
            write!(out, "{:?}", seconds.unwrap_or(0.0)).expect("memory can be written to");
        });
    }
    line.extend_from_slice(numbers.as_bytes());
    line.extend_from_slice(b",\"start\":");
    if !execution.start.is_some_and(|start| time::write(line, start)) {
        line.extend_from_slice(b"null");
    }
    line.extend_from_slice(b",\"host\":");
    match &execution.host {
        Some(host) => write_text(line, host),
        None => line.extend_from_slice(b"null"),
    }
    line.extend_from_slice(b",\"exception\":");
    match &execution.exception {
        Some(exception) => {
            line.extend_from_slice(b"{\"type\":");
            write_text(line, &exception.type_name);
            line.extend_from_slice(b",\"message\":");
            write_text(line, &exception.message);
            line.push(b'}');
        }
        None => line.extend_from_slice(b"null"),
    }
    line.push(b'}');
}

/// Reads an attempt of the form that is written here, with any members of it; `None` for anything else.
pub(crate) fn read<'a>(scanner: &mut Scanner<'a>) -> Option<Execution<'a>> {
    let mut execution = Execution::default();
    let mut seen = 0_u32;
    scanner.members(&KEYS, |scanner, key| {
        let bit = 1 << key;
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        if scanner.peek()? == b'n' {
            return scanner.null();
        }
        if let Some(whole) = execution.whole.get_mut(key) {
            *whole = Some(scanner.integer()?);
        } else if let Some(seconds) = execution.seconds.get_mut(key - WHOLE.len()) {
            *seconds = Some(scanner.number()?);
        } else if key == START {
            execution.start = Some(time::read(&scanner.string()?)?);
        } else if key == HOST {
            execution.host = Some(scanner.string()?);
        } else {
            execution.exception = Some(read_exception(scanner)?);
        }
        Some(())
    })?;
    Some(execution)
}

fn read_exception<'a>(scanner: &mut Scanner<'a>) -> Option<Exception<'a>> {
    let mut texts = [const { None }; 2];
    scanner.members(&EXCEPTION_KEYS, |scanner, key| first(&mut texts[key], scanner.string()?))?;
    let [type_name, message] = texts;
    Some(Exception { type_name: type_name?, message: message? })
}

impl Execution<'_> {
    /// An attempt of which the steps are known, and nothing else.
    ///
    /// As in upstream's `QuantumResourceUsage`, a step that did not begin took no time, and the one before it went
    /// on until the end.
    pub fn of_steps(steps: &Steps) -> Self {
        let moment = |text: &Option<String>| text.as_deref().and_then(time::read_iso);
        let (Some(prep), Some(end)) = (moment(&steps.prep), moment(&steps.end)) else {
            return Self::default();
        };
        let (init, start) = (moment(&steps.init).unwrap_or(end), moment(&steps.start).unwrap_or(end));
        let cpu = steps.start_cpu.zip(steps.end_cpu).map_or(0.0, |(start, end)| end - start);
        let mut seconds = [None; SECONDS.len()];
        for (place, (from, to)) in seconds.iter_mut().zip([(prep, init), (init, start), (start, end)]) {
            *place = Some((to - from) as f64 / 1e6);
        }
        seconds[3] = Some(cpu);
        Self { start: Some(prep), seconds, ..Self::default() }
    }

    /// The same, with texts of its own.
    pub fn into_owned(self) -> Execution<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Execution {
            whole: self.whole,
            seconds: self.seconds,
            start: self.start,
            host: self.host.map(owned),
            exception: self.exception.map(|exception| Exception {
                type_name: owned(exception.type_name),
                message: owned(exception.message),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(execution: &Execution<'_>) -> String {
        let mut line = Vec::new();
        write(&mut line, execution);
        String::from_utf8(line).unwrap()
    }

    fn known() -> Execution<'static> {
        Execution {
            whole: [Some(-1), Some(64), None, Some(7), Some(i64::MAX), Some(0), None, Some(2)],
            seconds: [Some(0.1), Some(1e-7), Some(3.0), None, Some(1e300), None, Some(-0.5), Some(0.0)],
            start: Some(1_796_007_403_123_456),
            host: Some("sdf\u{e9}\"1".into()),
            exception: Some(Exception { type_name: "a.B".into(), message: "line\n\u{0}2".into() }),
        }
    }

    #[test]
    fn it_comes_back() {
        for execution in [Execution::default(), known(), Execution { exception: None, ..known() }] {
            let text = written(&execution);
            let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(parsed.as_object().unwrap().len(), KEYS.len());
            assert_eq!(read(&mut Scanner::new(text.as_bytes())), Some(execution));
        }
        let parsed: serde_json::Value = serde_json::from_str(&written(&known())).unwrap();
        assert_eq!((&parsed["status"], &parsed["n_put"]), (&(-1).into(), &2.into()));
        assert_eq!((&parsed["prep_time"], &parsed["graph_read_time"]), (&0.1.into(), &0.0.into()));
    }

    #[test]
    fn times_are_those_between_the_steps() {
        let text = |second: u32| Some(format!("2026-11-30T02:56:{second:02}.250000+00:00"));
        let all = Steps {
            prep: text(1),
            init: text(3),
            start: Some("2026-11-30T02:56:09".into()),
            end: text(20),
            start_cpu: Some(1.5),
            end_cpu: Some(4.0),
        };
        let times = |steps: &Steps| Execution::of_steps(steps).seconds[..4].to_vec();
        assert_eq!(times(&all), [2.0, 5.75, 11.25, 2.5].map(Some));
        assert_eq!(Execution::of_steps(&all).start, time::read("2026-11-30T02:56:01.250000Z"));
        let no_run = Steps { start: None, start_cpu: None, ..all.clone() };
        assert_eq!(times(&no_run), [2.0, 17.0, 0.0, 0.0].map(Some));
        let nothing_done = Steps { init: None, ..no_run };
        assert_eq!(times(&nothing_done), [19.0, 0.0, 0.0, 0.0].map(Some));
        assert_eq!(Execution::of_steps(&Steps { end: None, ..all }), Execution::default());
    }

    #[test]
    fn keys_are_those_that_are_named() {
        let names = WHOLE.iter().chain(&SECONDS).chain(&["start", "host", "exception"]);
        assert!(names.zip(KEYS).all(|(name, key)| key == format!("\"{name}\":")));
    }

    #[test]
    fn what_is_no_number_is_not_written() {
        let execution = Execution { seconds: [Some(f64::NAN); 8], ..known() };
        assert!(written(&execution).contains("\"prep_time\":null"));
    }

    #[test]
    fn anything_else_is_left_to_others() {
        let text = written(&known());
        for (from, to) in [
            ("\"status\":-1", "\"status\":-1.0"),
            ("\"status\":-1", "\"status\":-1,\"status\":1"),
            ("\"status\":-1", "\"other\":-1"),
            ("\"run_time\":3.0", "\"run_time\":NaN"),
            ("\"run_time\":3.0", "\"run_time\":\"3\""),
            ("\"message\":", "\"other\":"),
        ] {
            assert!(text.contains(from), "{from}");
            assert_eq!(read(&mut Scanner::new(text.replacen(from, to, 1).as_bytes())), None, "{to}");
        }
    }
}
