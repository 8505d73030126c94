//! Parsers that are nobody's business but the fuzz targets'.

/// Whether `/proc/self/fdinfo/<pidfd>` says that the process is beside us, with this id.
#[must_use]
pub fn is_beside_us(info: &str, pid: u32) -> bool {
    crate::caller::is_beside_us(info, pid)
}

/// The profile in an AppArmor label, and whether it is enforced.
#[must_use]
pub fn apparmor_profile(label: &str) -> Option<(String, bool)> {
    let profile = crate::outside::parse_label(label)?;
    Some((profile.name, profile.is_enforced))
}
