//! The handler: one transaction per job, and the method's answer as an outcome.

use std::{marker::PhantomData, time::Duration};

use plugin_api::{AsyncHandler, Error, Job, Result, Schemas, serde_json::Value, tracing::debug};
use sea_orm::{
    Database, DatabaseConnection, DatabaseExecutor, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

use crate::{
    call::Lent,
    config::{Config, Resolved},
    failure::Failure,
    message::{Message, is_truthy},
    registry::{Answer, Context, Model, Registry},
};

/// What an author implements: which models the plugin has.
pub trait Models: Send + Sync + 'static {
    /// The models and their methods. Asked once per process.
    fn registry() -> Registry;
}

/// The handler that calls methods of the models of `M`.
pub struct Orm<M> {
    registry: Registry,
    database: DatabaseConnection,
    transaction: bool,
    self_check: bool,
    retry: Duration,
    namespaces: Option<Vec<String>>,
    models: PhantomData<M>,
}

impl<M: Models> AsyncHandler for Orm<M> {
    type Config = Config;
    type Payload = Message;
    const DESCRIPTION: &'static str = "calls the method of a database model that the message names";

    async fn new(config: Config) -> Result<Self> {
        let registry = M::registry();
        if let Some(name) = registry.repeated() {
            return Err(Error::failed(format_args!("`{name}` is registered twice")));
        }
        let Resolved {
            options,
            transaction,
            self_check,
            retry,
            namespaces,
        } = config.resolve()?;
        // The reason is left out: some of these errors repeat the URL, and with it the password.
        let database = Database::connect(options)
            .await
            .map_err(|_| Error::failed("the URL of the database cannot be understood"))?;
        Ok(Orm {
            registry,
            database,
            transaction,
            self_check,
            retry,
            namespaces,
            models: PhantomData,
        })
    }

    fn schemas() -> Schemas {
        Schemas::of::<Config, Message>()
    }

    async fn self_check(&self) -> Result<()> {
        if self.self_check {
            self.database.ping().await?;
        }
        Ok(())
    }

    async fn execute(&self, job: &Job<'_>, message: Message) -> Result {
        let name = message.model.as_str().unwrap_or_default();
        let model = self.registry.find(name, self.namespaces.as_deref());
        let model = model.ok_or_else(|| {
            debug!(model = name, "no such model");
            Error::failed("Model not exist")
        })?;
        let answer = if self.transaction {
            self.in_transaction(model, job, &message).await
        } else {
            let database = DatabaseExecutor::Connection(&self.database);
            call(model, &database, job, &message).await
        };
        let answer = answer.map_err(|failure| failure.into_error(self.retry))?;
        Ok(answer.into())
    }
}

impl<M> Orm<M> {
    /// Commits after a truthy result; after anything else nothing has happened.
    ///
    /// On SQLite the transaction takes the lock for writing at once: one that reads first could not get it any more
    /// when another has written meanwhile, however long it waited.
    async fn in_transaction(&self, model: &dyn Model, job: &Job<'_>, message: &Message) -> Answer {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.database.begin_with_options(options).await?;
        let answer = {
            let database = DatabaseExecutor::Transaction(&transaction);
            call(model, &database, job, message).await
        };
        match answer {
            Ok(_) => transaction.commit().await?,
            // The method's own failure says more than one of the rollback, which the server does by itself.
            Err(_) => drop(transaction.rollback().await),
        }
        answer
    }
}

/// Calls the method; a result that PHP takes for false is a failure.
async fn call(
    model: &dyn Model,
    database: &DatabaseExecutor<'_>,
    job: &dyn Lent,
    message: &Message,
) -> Answer {
    let answer = model
        .call(Context {
            database,
            job,
            message,
        })
        .await?;
    if is_truthy(&answer) {
        return Ok(answer);
    }
    let (model, method) = (text(&message.model), text(&message.method));
    Err(Failure::from(format!("`{model}::{method}` answered {answer}")))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
