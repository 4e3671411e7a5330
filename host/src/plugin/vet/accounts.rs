//! The users whose files are trusted, and their private groups, as passwd(5) and group(5) tell them.

use nix::unistd::{Gid, Group, Uid, User};

pub(super) const ROOT: Uid = Uid::from_raw(0);

/// Root and the user that is trusted beside it, which may be root as well.
pub(super) struct Accounts {
    pub(super) trusted: Uid,
    pub(super) private_groups: Vec<u32>,
}

impl Accounts {
    pub(super) fn trusting(trusted: Uid) -> Self {
        let private_groups = [ROOT, trusted].into_iter().filter_map(private_group).collect();
        Accounts {
            trusted,
            private_groups,
        }
    }

    pub(super) fn is_trusted(&self, uid: u32) -> bool {
        uid == ROOT.as_raw() || uid == self.trusted.as_raw()
    }

    pub(super) fn is_private_group(&self, gid: u32) -> bool {
        self.private_groups.contains(&gid)
    }

    /// The name of the user whose files are trusted.
    pub(super) fn own_name(&self) -> String {
        user_name(self.trusted.as_raw())
    }
}

/// The gid of a user's private group. `None` where there is none, or it cannot be found out.
fn private_group(uid: Uid) -> Option<u32> {
    let user = User::from_uid(uid).ok()??;
    let group = Group::from_gid(user.gid).ok()??;
    is_private(&user.name, &group.name, &group.mem).then_some(user.gid.as_raw())
}

/// Whether a user's primary group is the user's alone.
///
/// Users that have the group as their primary one are not listed among its members, so the name has to
/// tell: nobody else gets a primary group that is called like this user.
pub(super) fn is_private(user: &str, group: &str, members: &[String]) -> bool {
    group == user && members.iter().all(|member| member == user || member == "root")
}

/// A user's name, or the number where there is none.
pub(super) fn user_name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// A group's name, or the number where there is none.
pub(super) fn group_name(gid: u32) -> String {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => group.name,
        _ => gid.to_string(),
    }
}
