//! Public keys, and hashed names, made by `ssh-keygen` of OpenSSH 9.2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) key_type: &'static str,
    pub(crate) encoded: &'static str,
    /// As `ssh-keygen -l` prints it.
    pub(crate) fingerprint: &'static str,
}

impl Key {
    /// The key's fields in a line.
    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.key_type, self.encoded)
    }

    pub(crate) fn blob(&self) -> Vec<u8> {
        STANDARD.decode(self.encoded).unwrap()
    }
}

pub(crate) const PVE1: Key = Key {
    key_type: "ssh-ed25519",
    encoded: "AAAAC3NzaC1lZDI1NTE5AAAAINWxcg5hZIx5ZtoK114DNRhJ8wl0hCWvLLmWn7jsNu3s",
    fingerprint: "SHA256:gReheG5l2PKljy7y+7JI6dcyBxusicadDnCfbZZGfG4",
};

pub(crate) const PVE1_ECDSA: Key = Key {
    key_type: "ecdsa-sha2-nistp256",
    encoded: "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEspAn7n4AKrEJ8OeGSJT0fl/GS4M8X8d2Eopf4ccALm7gy3g/FWCRfd1YeSuUQHsrgqJeU3UsZ3uWywMsPFErk=",
    fingerprint: "SHA256:+zxhyLcd4gat+KLwsmQwcKyrK0Zz00nd4FXDSOYR1Lc",
};

pub(crate) const PVE1_RSA: Key = Key {
    key_type: "ssh-rsa",
    encoded: "AAAAB3NzaC1yc2EAAAADAQABAAABAQCv6VpxDuSRzkZ4WnoDTlBQPINFYSK6+Mc7bKImarJFCNl96mh2JS1jg6lszUPxIlKzGL8kFledCb8P1e/hwJPGpaSW9x4qXQi/OiKvSDlIiqvVoALJCO/FAbfI+ZoIc7n6RO/WHptyilfjCxglOoD2kPGn+fu5i/WBgVqtOcKmlF50asohqJXwsmlaghyHgMdtM3tgBK2pkJz61t+aP/FLZZsKpw8eTl+AtOrdfXjUZi+hLc+whDwRRR9C3husujLir1KZcBFgF3XgWnwrfubdWrH6tq+qed/ng07N4cEj9IvHE0ASWqlndDX/2eb2lk830Hz+bFM5b5p4lfoA15P7",
    fingerprint: "SHA256:vAcmWjG4ypvd77Q/u8n75NA1ngPZ+5Y5/sdC5GV1QE4",
};

pub(crate) const PVE2: Key = Key {
    key_type: "ssh-ed25519",
    encoded: "AAAAC3NzaC1lZDI1NTE5AAAAIOqxyPuqLP51alqa9VCcADEoUxaal2KgAw+nm3ENlzoH",
    fingerprint: "SHA256:aUmsIYL7htkCbg0+QBdHelb9CH7loX1NSDn8fc0ZyR8",
};

pub(crate) const AUTHORITY: Key = Key {
    key_type: "ssh-ed25519",
    encoded: "AAAAC3NzaC1lZDI1NTE5AAAAILC5TqYsEF6V3yRDbt8Phd03vzB+rdrBmQcRCnr1NnUy",
    fingerprint: "SHA256:qvHFGJ/Ll2CHgQSytkpcHy7HfzBQQhxek8+xSCQDcz0",
};

/// `ssh-keygen -H` over lines for `PVE1.example.org,10.0.0.1`, `[pve1]:2222`,
/// `2001:db8::1` and `[2001:db8::1]:2222`, all with [`PVE1`].
pub(crate) const HASHED: &str = "\
|1|C2+eK4AaSGrtKWa/z2ghXVxA4m8=|J2SsIM/EjmbtmtthVGkW37QAbOI= ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINWxcg5hZIx5ZtoK114DNRhJ8wl0hCWvLLmWn7jsNu3s root@pve1
|1|WQHUD2w8wsRrchNb+64jKFgnkmE=|qjJVHr6y/blXjxlOrNBFp3xwxxc= ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINWxcg5hZIx5ZtoK114DNRhJ8wl0hCWvLLmWn7jsNu3s root@pve1
|1|AQY+wZTPUeaHbYc5FyhrASckZAU=|Y5IBYP8TiugRed8mbzva/N4/e6I= ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINWxcg5hZIx5ZtoK114DNRhJ8wl0hCWvLLmWn7jsNu3s
|1|dEJoquhDQkzwJRdwMtlmekkNmSY=|Hr33bxz/RdrLEmGI3HgawD470KA= ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINWxcg5hZIx5ZtoK114DNRhJ8wl0hCWvLLmWn7jsNu3s
|1|S/9Bsa1AEmCAwjOb1UowD86cDZI=|BQpFhleRNRGy1UVPw37wlx9LKWc= ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINWxcg5hZIx5ZtoK114DNRhJ8wl0hCWvLLmWn7jsNu3s
";

/// A host certificate for [`PVE1`] by [`AUTHORITY`], as in `*-cert.pub`.
pub(crate) const CERTIFICATE: &str = "ssh-ed25519-cert-v01@openssh.com \
AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIL7tLCGhj3ov3Wr2THcdz/xT7kYk\
dlRVVCo7ypsa3pumAAAAINWxcg5hZIx5ZtoK114DNRhJ8wl0hCWvLLmWn7jsNu3sAAAAAAAAAAAAAAAC\
AAAAAmlkAAAACAAAAARwdmUxAAAAAAAAAAD//////////wAAAAAAAAAAAAAAAAAAADMAAAALc3NoLWVk\
MjU1MTkAAAAgsLlOpiwQXpXfJENu3w+F3Te/MH6t2sGZBxEKevU2dTIAAABTAAAAC3NzaC1lZDI1NTE5\
AAAAQEfJCqNPrUvo1IiF3i1VhzJRj6NuSSmd3qpHPdFN4TzSrvKxB1i9mMXNT5VrZcggFp0irs/TxRjJ\
T2AFc3ba9As=";
