//! A plugin's table of functions as the root module and the handlers of a host.

use std::{
    ffi::c_void,
    io::{self, Write as _},
    mem::{self, offset_of},
    process, ptr,
};

use abi_stable::{
    sabi_trait::TD_Opaque,
    std_types::{RResult, RString},
};

use super::{
    PluginFunctions,
    answer::{Answer, Refusal},
    host::host,
    job::LentJob,
    text::{borrowed, text},
};
use crate::{
    handler::{RawHandler, RawHandler_TO, RawHandlerBox},
    host::HostApiRef,
    job::RawJobRef,
    outcome::{Outcome, Verdict},
    plugin::CreateError,
};

/// A plugin of kind 2.
#[derive(Clone, Copy)]
pub struct Plugin {
    functions: PluginFunctions,
}

impl Plugin {
    /// Copies the table, as much of it as there is.
    ///
    /// # Safety
    ///
    /// `table` is what the entry of a descriptor of kind 2 has answered, and the library is never unloaded.
    pub(crate) unsafe fn read(table: *const PluginFunctions) -> Result<Self, &'static str> {
        if table.is_null() || !table.is_aligned() {
            return Err("its entry gave no table of functions");
        }
        // SAFETY: a table of kind 2 begins with its size, and it stays.
        let size = unsafe { (&raw const (*table).size).read() } as usize;
        if size < offset_of!(PluginFunctions, destroy) {
            return Err(
                "the `size` of its table of functions has no room for `create` and `execute`; hint: it is \
                 sizeof(asynccall_plugin_functions)",
            );
        }
        // A table that ends within a pointer ends before it.
        let size = size - size % size_of::<usize>();
        let mut functions = PluginFunctions::default();
        // SAFETY: the table has `size` readable bytes, and no more are written than `functions` has. All of its fields are
        // integers or pointers to functions for which zero is valid; what a plugin of this abi writes there is one too.
        unsafe {
            ptr::copy_nonoverlapping(
                table.cast::<u8>(),
                (&raw mut functions).cast::<u8>(),
                size.min(size_of::<PluginFunctions>()),
            );
        }
        match functions {
            PluginFunctions { create: None, .. } => {
                Err("its table of functions has no `create`, which every plugin needs")
            }
            PluginFunctions { execute: None, .. } => {
                Err("its table of functions has no `execute`, which every plugin needs")
            }
            _ => Ok(Plugin { functions }),
        }
    }

    pub(crate) fn create(
        &self,
        api: HostApiRef,
        handler: &str,
        config: &str,
    ) -> RResult<RawHandlerBox, CreateError> {
        let config = if config.trim().is_empty() { "{}" } else { config };
        let mut state = State(ptr::null_mut());
        let mut refusal = Refusal::none();
        let made = self.functions.create.is_some_and(|create| {
            let (handler, config) = (text(handler.as_bytes()), text(config.as_bytes()));
            // SAFETY: the function is the plugin's, whose library stays; all arguments live for the call.
            let made = within("create", || unsafe {
                create(host(api), handler, config, &raw mut state.0, refusal.place())
            });
            made != 0
        });
        if !made {
            return RResult::RErr(refusal.into_error());
        }
        let handler = Handler {
            state,
            functions: self.functions,
        };
        RResult::ROk(RawHandler_TO::from_value(handler, TD_Opaque))
    }

    pub(crate) fn describe(&self, handler: &str) -> Option<RString> {
        let describe = self.functions.describe?;
        // SAFETY: the function is the plugin's, the argument lives for the call, and the answer is in static memory.
        let described = unsafe { borrowed(within("describe", || describe(text(handler.as_bytes())))) };
        Some(RString::from(&*described))
    }
}

/// Calls one of the plugin's functions. Whatever unwinds out of it, such as a C++ exception, ends the process in words
/// that name the function.
fn within<T>(function: &'static str, call: impl FnOnce() -> T) -> T {
    let border = Border(function);
    let answer = call();
    mem::forget(border);
    answer
}

/// Dropped only where something unwinds over it.
struct Border(&'static str);

impl Drop for Border {
    fn drop(&mut self) {
        let function = self.0;
        // Nobody could be told that it was not written.
        let _ = writeln!(
            io::stderr(),
            "fatal: an exception has left `{function}`, and nothing may unwind out of a plugin in C"
        );
        process::abort();
    }
}

/// A handler's state, which belongs to C.
#[derive(Clone, Copy)]
struct State(*mut c_void);

// SAFETY: the header says that any thread may call with it, and several at once.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

/// A handler in C.
struct Handler {
    state: State,
    functions: PluginFunctions,
}

impl RawHandler for Handler {
    fn execute(&self, job: RawJobRef<'_>) -> Outcome {
        let Some(execute) = self.functions.execute else {
            return Outcome::new(Verdict::FAILED, "the plugin has no `execute`");
        };
        let job = LentJob::new(job);
        let mut answer = Answer::none();
        // SAFETY: the function is the plugin's, the state is what `create` has left, job and answer live for the call.
        within("execute", || unsafe {
            execute(self.state.0, job.lend(), answer.place());
        });
        answer.into_outcome()
    }

    fn self_check(&self) -> RResult<(), CreateError> {
        let Some(self_check) = self.functions.self_check else {
            return RResult::ROk(());
        };
        let mut refusal = Refusal::none();
        // SAFETY: as above.
        match within("self_check", || unsafe {
            self_check(self.state.0, refusal.place())
        }) {
            0 => RResult::RErr(refusal.into_error()),
            _ => RResult::ROk(()),
        }
    }

    fn tick_every_ms(&self) -> u64 {
        let wanted = self
            .functions
            .tick_every_ms
            .filter(|_| self.functions.tick.is_some());
        wanted.map_or(0, |tick_every_ms| {
            // SAFETY: as above.
            within("tick_every_ms", || unsafe { tick_every_ms(self.state.0) })
        })
    }

    fn tick(&self) {
        if let Some(tick) = self.functions.tick {
            // SAFETY: as above.
            within("tick", || unsafe { tick(self.state.0) });
        }
    }

    fn shutdown(&self) {
        if let Some(shutdown) = self.functions.shutdown {
            // SAFETY: as above.
            within("shutdown", || unsafe { shutdown(self.state.0) });
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        if let Some(destroy) = self.functions.destroy {
            // SAFETY: as above, and nothing is called with this state any more.
            within("destroy", || unsafe { destroy(self.state.0) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        c::{Failure, Host, Job, Outcome},
        descriptor::Text,
    };

    unsafe extern "C-unwind" fn create(
        _: *const Host,
        _: Text,
        _: Text,
        _: *mut *mut c_void,
        _: *mut Failure,
    ) -> u8 {
        1
    }

    unsafe extern "C-unwind" fn execute(_: *mut c_void, _: *const Job, _: *mut Outcome) {}

    unsafe extern "C-unwind" fn destroy(_: *mut c_void) {}

    unsafe extern "C-unwind" fn describe(_: Text) -> Text {
        text(&[])
    }

    fn read(size: u32) -> Result<(bool, bool), &'static str> {
        let table = PluginFunctions {
            size,
            create: Some(create),
            execute: Some(execute),
            destroy: Some(destroy),
            describe: Some(describe),
            ..PluginFunctions::default()
        };
        // SAFETY: it is such a table, of which no more is read than there is, and no function is called.
        let plugin = unsafe { Plugin::read(&raw const table) }?;
        Ok((
            plugin.functions.destroy.is_some(),
            plugin.functions.describe.is_some(),
        ))
    }

    #[test]
    fn of_a_table_as_much_is_believed_as_its_size_announces() {
        let has = |field: usize, size| size as usize >= field + size_of::<usize>();
        for size in (0..=size_of::<PluginFunctions>() as u32 + 9).chain([u32::MAX]) {
            let believed = (
                has(offset_of!(PluginFunctions, destroy), size),
                has(offset_of!(PluginFunctions, describe), size),
            );
            match has(offset_of!(PluginFunctions, execute), size) {
                true => assert_eq!(read(size), Ok(believed), "{size}"),
                false => assert!(
                    read(size).is_err_and(|fault| fault.contains("has no room")),
                    "{size}"
                ),
            }
        }
    }
}
