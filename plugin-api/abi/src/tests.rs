use std::mem::{MaybeUninit, offset_of};

use crate::{
    descriptor::{Descriptor, MAGIC, Text},
    load::{LoadError, identify, root},
    manifest::{self, Manifest},
};

extern "C" fn no_entry() -> *const std::ffi::c_void {
    std::ptr::null()
}

fn descriptor() -> Descriptor {
    Descriptor::new("mailer", "0.1.0", "rustc 1.95.0", no_entry)
}

fn identified(descriptor: &Descriptor) -> Result<crate::load::Identity<'_>, LoadError> {
    // SAFETY: the descriptor is borrowed for as long as the identity, and its texts are literals.
    unsafe { identify(descriptor) }
}

#[test]
fn a_manifest_is_the_json_that_its_parts_say() {
    const PARTS: Manifest<'_> = Manifest {
        name: "a \"quoted\" name",
        version: "1.2.3",
        toolchain: "rustc\t1.95.0",
        handlers: &[("mailer", "sends \\ mail, 邮件"), ("sms", "")],
    };
    const BYTES: [u8; manifest::length(&PARTS)] = manifest::bytes(&PARTS);
    let expected = concat!(
        r#"{"abi":"1.2","name":"a \"quoted\" name","version":"1.2.3","toolchain":"rustc\u00091.95.0","#,
        r#""handlers":[{"name":"mailer","description":"sends \\ mail, 邮件"},{"name":"sms","description":""}]}"#,
    );
    assert_eq!(std::str::from_utf8(&BYTES), Ok(expected));
}

#[test]
fn a_descriptor_tells_who_the_plugin_is() {
    let descriptor = descriptor();
    let identity = identified(&descriptor).expect("a fresh descriptor fits");
    assert_eq!(
        (identity.name, identity.version, identity.toolchain),
        ("mailer", "0.1.0", "rustc 1.95.0")
    );
    assert_eq!(identity.abi, (crate::ABI_MAJOR, crate::ABI_MINOR));
}

#[test]
fn a_descriptor_is_refused_by_its_first_wrong_field() {
    let refused = |change: fn(&mut Descriptor)| {
        let mut descriptor = descriptor();
        change(&mut descriptor);
        identified(&descriptor).expect_err("the field is wrong")
    };
    assert_eq!(refused(|d| d.magic = *b"elephant"), LoadError::Magic);
    assert_eq!(
        refused(|d| (d.abi_major, d.abi_minor, d.size) = (2, 0, 8)),
        LoadError::Major { plugin: (2, 0) }
    );
    assert_eq!(refused(|d| d.size = 8), LoadError::Truncated { size: 8 });
    assert_eq!(refused(|d| d.kind = 9), LoadError::Kind { kind: 9 });
    assert_eq!(MAGIC.len(), 8);
}

#[test]
fn a_text_that_is_none_is_refused() {
    for (ptr, len) in [(std::ptr::null(), 5), (b"mailer".as_ptr(), usize::MAX)] {
        let mut descriptor = descriptor();
        descriptor.name = Text { ptr, len };
        assert_eq!(identified(&descriptor), Err(LoadError::Text));
    }
}

#[test]
fn a_descriptor_without_an_entry_is_refused() {
    let mut descriptor = MaybeUninit::new(descriptor());
    // SAFETY: the bytes are the descriptor's, and nothing takes them for a function again.
    unsafe {
        let entry = descriptor.as_mut_ptr().byte_add(offset_of!(Descriptor, entry));
        entry.cast::<u8>().write_bytes(0, size_of::<usize>());
    }
    // SAFETY: all else in it is as `identify` accepts it.
    let refused = unsafe { root(descriptor.as_ptr()) }.err();
    let fault = "its descriptor has no entry";
    assert_eq!(refused, Some(LoadError::Functions { fault }));
}

#[test]
fn a_descriptor_of_a_later_minor_may_be_longer() {
    let mut descriptor = descriptor();
    descriptor.size += 64;
    descriptor.abi_minor += 1;
    assert_eq!(
        identified(&descriptor).map(|identity| identity.abi),
        Ok((1, crate::ABI_MINOR + 1))
    );
}

#[test]
fn the_abi_version_is_the_version_of_the_package() {
    let package = concat!(
        env!("CARGO_PKG_VERSION_MAJOR"),
        ".",
        env!("CARGO_PKG_VERSION_MINOR")
    );
    assert_eq!(package, format!("{}.{}", crate::ABI_MAJOR, crate::ABI_MINOR));
}
