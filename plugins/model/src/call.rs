//! What a method is called with.

use plugin_api::Job;
use sea_orm::{ActiveModelBehavior, DatabaseExecutor, EntityTrait, IntoActiveModel};

use crate::failure::Failure;

/// One call of a method: the row that was found or a new instance, the database, and the job's facts.
pub struct Call<'a, E: EntityTrait> {
    pub(crate) found: Option<E::Model>,
    pub(crate) database: &'a DatabaseExecutor<'a>,
    pub(crate) job: &'a dyn Lent,
}

impl<'a, E: EntityTrait> Call<'a, E> {
    /// The row that `modelParams` has found; `None` for a new instance.
    pub fn found(&self) -> Option<&E::Model> {
        self.found.as_ref()
    }

    /// The row, for methods that make no sense without one.
    ///
    /// # Errors
    ///
    /// A failure, where `modelParams` was empty.
    pub fn row(&self) -> Result<&E::Model, Failure> {
        self.found()
            .ok_or_else(|| "needs a row, but `modelParams` is empty".into())
    }

    /// The row as an active model, or a new one: what is set in it can be saved.
    pub fn active(&self) -> E::ActiveModel
    where
        E::Model: Clone + IntoActiveModel<E::ActiveModel>,
    {
        match &self.found {
            Some(row) => row.clone().into_active_model(),
            None => E::ActiveModel::new(),
        }
    }

    /// The database: inside the job's transaction, unless the operator has switched transactions off.
    pub fn database(&self) -> &'a DatabaseExecutor<'a> {
        self.database
    }

    /// [`Job::id`].
    pub fn job_id(&self) -> u64 {
        self.job.id()
    }

    /// [`Job::attempt`].
    pub fn attempt(&self) -> u32 {
        self.job.attempt()
    }

    /// [`Job::progress`].
    pub fn progress(&self) -> bool {
        self.job.progress()
    }
}

/// A job of any lifetime.
pub(crate) trait Lent: Sync {
    fn id(&self) -> u64;
    fn attempt(&self) -> u32;
    fn progress(&self) -> bool;
}

impl Lent for Job<'_> {
    fn id(&self) -> u64 {
        Job::id(self)
    }

    fn attempt(&self) -> u32 {
        Job::attempt(self)
    }

    fn progress(&self) -> bool {
        Job::progress(self)
    }
}
