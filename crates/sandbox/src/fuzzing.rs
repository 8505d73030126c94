//! Private parsers, for the fuzz targets alone.

/// The profile in an `AppArmor` label, and whether it is enforced.
#[must_use]
pub fn apparmor_profile(label: &str) -> Option<(String, bool)> {
    let profile = crate::outside::parse_label(label)?;
    Some((profile.name, profile.is_enforced))
}
