//! Two handlers in one library: `left` is an ordinary one, `right` is asynchronous and leaves its job to a task that
//! it spawns. For tests.
//!
//! Both answer with their name, their configuration's `side` and the payload, and tick if their configuration says so.

use plugin_api::{
    prelude::*,
    serde_json::Value,
    tracing::{info_span, instrument::Instrument},
};

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    side: String,
    tick_every_ms: Option<u64>,
}

impl Config {
    fn tick_every(&self) -> Option<Duration> {
        self.tick_every_ms.map(Duration::from_millis)
    }
}

struct Left(Config);

impl Handler for Left {
    type Config = Config;
    type Payload = Value;
    const DESCRIPTION: &'static str = "Answers in place";

    fn new(config: Config) -> Result<Self> {
        Ok(Left(config))
    }

    fn execute(&self, _: &Job, payload: Value) -> Result {
        info!("in place");
        Ok(json!(["left", self.0.side, payload]).into())
    }

    fn tick_every(&self) -> Option<Duration> {
        self.0.tick_every()
    }

    fn tick(&self) -> Result<()> {
        info!("tick");
        Ok(())
    }
}

struct Right(Config);

impl AsyncHandler for Right {
    type Config = Config;
    type Payload = Value;
    const DESCRIPTION: &'static str = "Answers from a task";

    async fn new(config: Config) -> Result<Self> {
        Ok(Right(config))
    }

    async fn execute(&self, _: &Job<'_>, payload: Value) -> Result {
        let side = self.0.side.clone();
        let task = async move {
            info!("from a task");
            json!(["right", side, payload])
        };
        let span = info_span!("task", kind = "spawned");
        let answer = tokio::spawn(task.instrument(span)).await?;
        Ok(answer.into())
    }

    fn tick_every(&self) -> Option<Duration> {
        self.0.tick_every()
    }

    async fn tick(&self) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        info!("tick");
        Ok(())
    }
}

export_plugin!("left" => Left, "right" => Right);
