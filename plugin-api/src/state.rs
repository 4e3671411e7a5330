//! What the handlers of one library have in common.

use std::{
    fmt,
    sync::{Mutex, OnceLock, PoisonError},
};

/// A value that all handlers of the library share, made by the first that needs it: a pool of connections, a cache.
///
/// It lives in a `static`, one for each process, and until the process ends. A worker makes its handlers one after
/// the other.
///
/// ```
/// use plugin_api::{Shared, prelude::*};
///
/// struct Pool { server: String }
///
/// static POOL: Shared<Pool> = Shared::new();
///
/// #[derive(Deserialize)]
/// struct Config { server: String }
///
/// fn pool(config: Config) -> Result<&'static Pool> {
///     POOL.get_or_try_init(|| {
///         if config.server.is_empty() { return Err("there is no server".into()) }
///         Ok(Pool { server: config.server })
///     })
/// }
///
/// struct Mailer(&'static Pool);
/// struct Sms(&'static Pool);
///
/// impl Handler for Mailer {
///     type Config = Config;
///     type Payload = RawBody;
///     fn new(config: Config) -> Result<Self> { Ok(Mailer(pool(config)?)) }
///     fn execute(&self, _: &Job, _: RawBody) -> Result { Ok(json!(self.0.server).into()) }
/// }
/// # impl Handler for Sms {
/// #     type Config = Config;
/// #     type Payload = RawBody;
/// #     fn new(config: Config) -> Result<Self> { Ok(Sms(pool(config)?)) }
/// #     fn execute(&self, _: &Job, _: RawBody) -> Result { Ok(json!(self.0.server).into()) }
/// # }
///
/// export_plugin!(Mailer, Sms);
/// # use plugin_api::testing::Harness;
/// # fn main() -> Result<()> {
/// # assert!(Harness::<Mailer>::new(json!({"server": ""})).is_err());
/// # Harness::<Mailer>::new(json!({"server": "one"}))?;
/// # let second = Harness::<Sms>::new(json!({"server": "two"}))?;
/// # assert_eq!(second.run(json!({})).result, Some(json!("one")));
/// # Ok(())
/// # }
/// ```
pub struct Shared<T> {
    value: OnceLock<T>,
    making: Mutex<()>,
}

impl<T> Shared<T> {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Shared {
            value: OnceLock::new(),
            making: Mutex::new(()),
        }
    }

    /// The value, made by `make` where there is none. Whoever comes meanwhile waits; after an error or a panic the next
    /// one tries again. `make` must not ask for the same value.
    ///
    /// # Errors
    ///
    /// That of `make`.
    pub fn get_or_try_init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        // Nothing is behind the lock that a panic could leave half done.
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let made = make()?;
        Ok(self.value.get_or_init(|| made))
    }

    /// The value, if it was made.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Shared::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.value.get()).finish()
    }
}
