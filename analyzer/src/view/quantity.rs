//! Numbers as people read them: counts, sizes, times, moments.

/// `1`, `12,345`: groups of three from five digits on.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 process`, `2 processes`.
pub fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `512 B`, `1.5 MiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", short(value), UNITS[unit])
}

/// `120 µs`, `1.2 s`, `3 h 12 min`, `2 d 4 h`.
pub fn seconds(time: f64) -> String {
    if !time.is_finite() {
        return "?".into();
    }
    if time < 0.0 {
        return format!("-{}", seconds(-time));
    }
    match time {
        _ if time == 0.0 => "0 s".into(),
        _ if time < 1e-6 => format!("{:.0} ns", time * 1e9),
        _ if time < 1e-3 => format!("{} µs", short(time * 1e6)),
        _ if time < 1.0 => format!("{} ms", short(time * 1e3)),
        _ if time < 59.5 => format!("{} s", short(time)),
        _ => {
            let minutes = (time / 60.0).round().min(1e15) as u64;
            match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
                (0, 0, _) if time < 600.0 => {
                    let whole = time.round() as u64;
                    pair(whole / 60, "min", whole % 60, "s")
                }
                (0, 0, minutes) => format!("{minutes} min"),
                (0, hours, minutes) => pair(hours, "h", minutes, "min"),
                (days, hours, _) => pair(days, "d", hours, "h"),
            }
        }
    }
}

fn pair(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{} {large_unit}", count(large)),
        _ => format!("{} {large_unit} {small} {small_unit}", count(large)),
    }
}

/// `95 %`, `0.4 %`, `< 0.1 %`.
pub fn share(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if !percent.is_finite() => "? %".into(),
        _ if percent == 0.0 => "0 %".into(),
        _ if percent < 0.1 => "< 0.1 %".into(),
        _ => format!("{} %", short(percent)),
    }
}

/// Growth in an hour: `+98/h`, `+1.2/min` where it is fast.
pub fn growth(per_hour: f64, is_bytes: bool) -> String {
    let sign = if per_hour < 0.0 { '-' } else { '+' };
    let size = per_hour.abs();
    let (value, unit) = match size {
        _ if size >= 36_000.0 && !is_bytes => (size / 3600.0, "s"),
        _ if size >= 600.0 && !is_bytes => (size / 60.0, "min"),
        _ => (size, "h"),
    };
    match is_bytes {
        true => format!("{sign}{}/{unit}", bytes(value as u64)),
        false => format!("{sign}{}/{unit}", short(value)),
    }
}

/// Two digits that matter below ten, whole numbers above.
pub fn short(value: f64) -> String {
    if value.abs() < 9.95 {
        let text = format!("{value:.1}");
        text.strip_suffix(".0").map(str::to_string).unwrap_or(text)
    } else {
        count(value.round().clamp(0.0, 1e18) as u64)
    }
}

/// The moment `since` seconds after `started` (RFC 3339), in the zone of `started`:
/// `22:41:07Z`, with the date if `with_date`.
pub fn moment(started: &str, since: f64, with_date: bool) -> Option<String> {
    let field = |from: usize, to: usize| started.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let second = field(11, 13)? * 3600 + field(14, 16)? * 60 + field(17, 19)?;
    let fraction: f64 = match started.get(19..20) {
        Some(".") => {
            let digits: String =
                started[20..].chars().take_while(char::is_ascii_digit).take(9).collect();
            format!("0.{digits}").parse().ok()?
        }
        _ => 0.0,
    };
    if !since.is_finite() || since.abs() > 1e10 || !(1..=12).contains(&month) {
        return None;
    }
    let moment = second + (fraction + since).floor() as i64;
    let (month, day) = month_and_day(days(year, month, day) + moment.div_euclid(86_400));
    let second = moment.rem_euclid(86_400);
    let zone = if started.ends_with('Z') { "Z" } else { "" };
    let time = format!("{:02}:{:02}:{:02}{zone}", second / 3600, second / 60 % 60, second % 60);
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    Some(match with_date {
        true => format!("{} {day} {time}", MONTHS[month - 1]),
        false => time,
    })
}

/// Days since 1970-01-01, and back; the algorithms are Howard Hinnant's (chrono-compatible low-level date algorithms).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn month_and_day(days: i64) -> (usize, i64) {
    let of_era = (days + 719_468).rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (month as usize, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(count(9999), "9999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16 EiB");
        assert_eq!(share(0.004), "0.4 %");
        assert_eq!(share(0.00001), "< 0.1 %");
        assert_eq!(growth(98.0, false), "+98/h");
        assert_eq!(growth(7200.0, false), "+120/min");
        assert_eq!(growth(2_097_152.0, true), "+2 MiB/h");
    }

    #[test]
    fn times_keep_two_units() {
        assert_eq!(seconds(0.00012), "120 µs");
        assert_eq!(seconds(12.34), "12 s");
        assert_eq!(seconds(61.0), "1 min 1 s");
        assert_eq!(seconds(11_520.0), "3 h 12 min");
        assert_eq!(seconds(187_200.0), "2 d 4 h");
        assert_eq!(seconds(f64::NAN), "?");
        assert!(!seconds(f64::MAX).is_empty());
    }

    #[test]
    fn moments_are_counted_from_the_start() {
        assert_eq!(moment("2026-11-24T22:41:07.9Z", 0.2, false).as_deref(), Some("22:41:08Z"));
        assert_eq!(
            moment("2027-12-31T23:59:59Z", 60.0 * 86_400.0 + 1.0, true).as_deref(),
            Some("Mar 1 00:00:00Z")
        );
        assert_eq!(moment("2026-11-24T22:41:07+01:00", 3600.0, false).as_deref(), Some("23:41:07"));
        for wrong in
            ["", "yesterday", "2026-99-24T22:41:07Z", "2026-11-24T22", "ääääääääääääääääää"]
        {
            assert_eq!(moment(wrong, 1.0, false), None, "{wrong}");
        }
    }
}
