//! Lengths of time as options and `gocc.toml` have them, as in `GOCC`: a whole number with its unit.

use crate::ring::layout::LONGEST_DELAY_NS;
use std::time::Duration;

/// A length of time.
///
/// # Errors
/// With what is wanted.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "a whole number with its unit (ns, us, ms or s), for example 2ms".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wanted())?;
    match text.get(digits.len()..) {
        Some("ns") => Ok(Duration::from_nanos(number)),
        Some("us") => Ok(Duration::from_micros(number)),
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s") => Ok(Duration::from_secs(number)),
        _ => Err(wanted()),
    }
}

/// For how long an operation may be held, or wait for its turn.
///
/// # Errors
/// With what is wanted.
pub fn delay(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_nanos(LONGEST_DELAY_NS);
    match duration(text)? {
        time if time <= longest => Ok(time),
        _ => Err(format!("at most {}s", longest.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        assert_eq!(duration("2ms"), Ok(Duration::from_millis(2)));
        assert_eq!(duration("3600s"), Ok(Duration::from_secs(3600)));
        assert_eq!(delay("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(delay("10001ms"), Err("at most 10s".to_owned()));
        for text in ["", "2", "ms", "2 ms", "2m", "-1s", "1.5s"] {
            assert!(duration(text).is_err() && delay(text).is_err(), "{text}");
        }
    }
}
