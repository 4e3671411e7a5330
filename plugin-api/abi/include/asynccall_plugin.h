/*
 * Write job handlers for asynccall-host in C, C++, Zig, or whatever else speaks C.
 *
 * A plugin is a shared library that exports two symbols, which ASYNCCALL_PLUGIN writes: `asynccall_plugin`, the
 * descriptor, and `asynccall_manifest`, which tells readers what is in it without running it. examples/c is a whole one.
 *
 * What holds everywhere:
 *
 * - A text is a pointer and a length in bytes, in UTF-8 and without a NUL at its end; the host replaces what is not
 *   UTF-8 in it. What a function is given is borrowed for the call. What it gives is copied before the function that was
 *   called returns.
 * - Structs with a `size` grow at their end only. Whoever reads one believes no field that ends behind `size`. Their
 *   `reserved` is 0 and not read. All other structs stay as they are.
 * - Numbers that a later minor may add to: an older host takes a verdict that it does not know for
 *   ASYNCCALL_VERDICT_RETRY, a failure for ASYNCCALL_FAILURE_FAILED, a level for ASYNCCALL_TRACE, and refuses a metric
 *   of a kind that it does not know. A plugin takes an ASYNCCALL_PUT_… that it does not know for
 *   ASYNCCALL_PUT_REFUSED.
 * - Nothing may unwind into the host: no C++ exception, no longjmp, no pthread_exit. Catch everything at the border;
 *   what leaves a function all the same ends the worker.
 * - The host's functions never unwind. Pointers that they are given are not NULL, except where that is said; those of a
 *   text or a list of length 0 may be.
 * - A crash takes the worker with it; the host finds out which job it was, and its other workers go on.
 * - What came with a later minor has to be asked for, once, before it is called: an older host may lack it.
 *   ASYNCCALL_HAS(host, record) says whether the struct behind a pointer has a field. All that is here came with 1.2,
 *   the first minor that knows plugins in C.
 *
 * C99 or later, C++11 or later, and the GCC attributes that GCC and Clang know.
 */
#ifndef ASYNCCALL_PLUGIN_H
#define ASYNCCALL_PLUGIN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The abi that this header describes. A host of any minor of the same major loads the plugin. */
#define ASYNCCALL_ABI_MAJOR 1
#define ASYNCCALL_ABI_MINOR 2

/* Whether the struct that begins with its size, and that `table` points to, has this field. */
#define ASYNCCALL_HAS(table, field)                                                                                  \
    ((table)->size >= (size_t)((const char *)(&(table)->field + 1) - (const char *)(table)))

typedef struct asynccall_text {
    const char *ptr;
    size_t len;
} asynccall_text;

/* A text from a string with a NUL at its end. */
static inline asynccall_text asynccall_text_of(const char *text)
{
    asynccall_text made;
    made.ptr = text;
    made.len = text == NULL ? 0 : strlen(text);
    return made;
}

/* ---- The host ------------------------------------------------------------------------------------------------- */

/* Severities. */
enum {
    ASYNCCALL_ERROR = 1,
    ASYNCCALL_WARN = 2,
    ASYNCCALL_INFO = 3,
    ASYNCCALL_DEBUG = 4,
    ASYNCCALL_TRACE = 5
};

/* One `name=value` of a log event. */
typedef struct asynccall_log_field {
    asynccall_text name;
    asynccall_text value;
    /* Whether `value` is a JSON number or boolean, to be written without quotes. */
    bool json;
} asynccall_log_field;

/* One log event. */
typedef struct asynccall_log_record {
    uint8_t level;
    /* The job that it belongs to; 0: the one that runs on this thread, if any. */
    uint64_t job;
    /* Who logs, such as the plugin's name. */
    asynccall_text target;
    /* Empty and 0 where unknown. */
    asynccall_text file;
    uint32_t line;
    asynccall_text message;
    const asynccall_log_field *fields;
    size_t field_count;
} asynccall_log_record;

/* Kinds of metrics. */
enum {
    ASYNCCALL_COUNTER = 0,   /* what is recorded is added; it only grows */
    ASYNCCALL_GAUGE = 1,     /* what is recorded takes the old value's place */
    ASYNCCALL_HISTOGRAM = 2  /* counted in the first bucket whose bound it does not exceed */
};

typedef struct asynccall_metric_label {
    asynccall_text name;
    asynccall_text value;
} asynccall_metric_label;

/* Names of metrics and labels are those of Prometheus: letters, digits and `_`, no digit first. */
typedef struct asynccall_metric_definition {
    uint8_t kind;
    /* The plugin's name. */
    asynccall_text plugin;
    asynccall_text name;
    /* One line; may be empty. */
    asynccall_text help;
    const asynccall_metric_label *labels;
    size_t label_count;
    /* Upper bounds of a histogram's buckets, finite and ascending; none for other kinds. */
    const double *bounds;
    size_t bound_count;
} asynccall_metric_definition;

/* There is one host in a process, and it stays. Any thread may call its functions. */
typedef struct asynccall_host {
    uint32_t size;
    uint32_t reserved;
    /* Such as `0.1.0`; it stays. */
    asynccall_text (*version)(void);
    /* Whether an event of this level and target would be kept. Constant for the life of the process. */
    bool (*log_enabled)(uint8_t level, asynccall_text target);
    void (*log)(const asynccall_log_record *record);
    /* Makes a metric known: its number for `record`, the same for the same name and labels; 0 where the host refuses
     * it, which it says in its log. */
    uint64_t (*metric)(const asynccall_metric_definition *definition);
    /* Records one value of a metric. Waits for nobody. Dropped are values of metric 0, what is not finite, and what is
     * negative for a counter. */
    void (*record)(uint64_t metric, double value);
} asynccall_host;

/* ---- The job in hand ------------------------------------------------------------------------------------------ */

/* asynccall_job_remaining_ms, _age_ms and _priority: the queue server could not be asked. */
#define ASYNCCALL_UNKNOWN UINT64_MAX
/* A priority: the one that the job has. */
#define ASYNCCALL_PRIORITY_KEEP (-1)
/* asynccall_new_job.ttr_ms: the time to run that the job in hand has. */
#define ASYNCCALL_TTR_KEEP 0

/* A job to be put on the queue server that the job in hand came from. Begin with asynccall_new_job_of: where all bytes
 * are 0, the priority is the most urgent one. */
typedef struct asynccall_new_job {
    /* Logical name; empty: the tube of the job in hand. */
    asynccall_text tube;
    /* Any bytes. */
    asynccall_text body;
    /* 0 (most urgent) to 4294967295, or ASYNCCALL_PRIORITY_KEEP, as which all else is read. */
    int64_t priority;
    /* Milliseconds until it becomes ready. The queue server counts in seconds: rounded up, here as below. */
    uint64_t delay_ms;
    /* Milliseconds that a worker has for it, or ASYNCCALL_TTR_KEEP. */
    uint64_t ttr_ms;
} asynccall_new_job;

/* A job of this body, and in all else as the job in hand: its tube, priority and time to run, without a delay. */
static inline asynccall_new_job asynccall_new_job_of(asynccall_text body)
{
    asynccall_new_job made;
    made.tube = asynccall_text_of(NULL);
    made.body = body;
    made.priority = ASYNCCALL_PRIORITY_KEEP;
    made.delay_ms = 0;
    made.ttr_ms = ASYNCCALL_TTR_KEEP;
    return made;
}

/* What becomes of asynccall_job_put. */
enum {
    ASYNCCALL_PUT_UNSUPPORTED = 0, /* there is nobody who would put it */
    ASYNCCALL_PUT_LIMIT = 1,       /* the operator allows no jobs, or no more of them */
    ASYNCCALL_PUT_REFUSED = 2,     /* it is none that can be put, or the queue server refused it */
    ASYNCCALL_PUT_UNKNOWN = 3,     /* no answer: it may be there or not */
    ASYNCCALL_PUT_DONE = 255
};

typedef struct asynccall_job asynccall_job;

/* The functions below are to be preferred. */
typedef struct asynccall_job_functions {
    uint32_t size;
    uint32_t reserved;
    uint64_t (*id)(const asynccall_job *job);
    asynccall_text (*body)(const asynccall_job *job);
    bool (*json)(const asynccall_job *job, asynccall_text *json_or_reason);
    asynccall_text (*tube)(const asynccall_job *job);
    uint32_t (*attempt)(const asynccall_job *job);
    uint64_t (*remaining_ms)(const asynccall_job *job);
    uint64_t (*age_ms)(const asynccall_job *job);
    uint64_t (*priority)(const asynccall_job *job);
    bool (*cancelled)(const asynccall_job *job);
    bool (*touch)(const asynccall_job *job);
    bool (*progress)(const asynccall_job *job);
    uint8_t (*put)(const asynccall_job *job, const asynccall_new_job *put, uint64_t *id, asynccall_text *reason);
} asynccall_job_functions;

/* A job, lent until `execute` returns. Until then any thread may ask it, and the texts that it answers stay. Tube,
 * attempt, remaining_ms, age_ms and priority together cost one round trip at most. */
struct asynccall_job {
    const asynccall_job_functions *functions;
};

/* The id that the queue server gave the job. */
static inline uint64_t asynccall_job_id(const asynccall_job *job) { return job->functions->id(job); }

/* The body as it was put: any bytes. */
static inline asynccall_text asynccall_job_body(const asynccall_job *job) { return job->functions->body(job); }

/* The body as a JSON document, made by the host from JSON or PHP's serialize(). `false`: there is none, and
 * `json_or_reason` says why. It is written in both cases. */
static inline bool asynccall_job_json(const asynccall_job *job, asynccall_text *json_or_reason)
{
    return job->functions->json(job, json_or_reason);
}

/* Logical name of the tube; `-` where the queue server could not be asked. */
static inline asynccall_text asynccall_job_tube(const asynccall_job *job) { return job->functions->tube(job); }

/* 1 for the first try; 0 where the queue server could not be asked. */
static inline uint32_t asynccall_job_attempt(const asynccall_job *job) { return job->functions->attempt(job); }

/* Milliseconds until the queue server takes the job back. */
static inline uint64_t asynccall_job_remaining_ms(const asynccall_job *job)
{
    return job->functions->remaining_ms(job);
}

/* Milliseconds since the job was put, in steps of a second. */
static inline uint64_t asynccall_job_age_ms(const asynccall_job *job) { return job->functions->age_ms(job); }

/* 0 is the most urgent. */
static inline uint64_t asynccall_job_priority(const asynccall_job *job) { return job->functions->priority(job); }

/* Whether the handler should give up. Cheap enough for a loop. */
static inline bool asynccall_job_cancelled(const asynccall_job *job) { return job->functions->cancelled(job); }

/* Asks the queue server for a fresh time to run. `false`: the job is no longer ours. */
static inline bool asynccall_job_touch(const asynccall_job *job) { return job->functions->touch(job); }

/* Says that the work gets on: the host's limit on the time of a job counts from now. `false`: give up. */
static inline bool asynccall_job_progress(const asynccall_job *job) { return job->functions->progress(job); }

/* Puts another job: ASYNCCALL_PUT_DONE and its id, or another ASYNCCALL_PUT_… and a reason. Costs a round trip. Both
 * are written in either case, as 0 or empty where there is none; each pointer may be NULL. */
static inline uint8_t asynccall_job_put(const asynccall_job *job, const asynccall_new_job *put, uint64_t *id,
                                        asynccall_text *reason)
{
    return job->functions->put(job, put, id, reason);
}

/* ---- Answers -------------------------------------------------------------------------------------------------- */

enum {
    ASYNCCALL_VERDICT_DONE = 0,      /* deleted */
    ASYNCCALL_VERDICT_RETRY = 1,     /* released, after the delay */
    ASYNCCALL_VERDICT_BURY = 2,      /* buried, for a person to look at */
    ASYNCCALL_VERDICT_FAILED = 3,    /* the host's retry policy decides */
    ASYNCCALL_VERDICT_EXCEPTION = 4  /* so it does; a message may ask for no retry after these */
};

/* asynccall_outcome_functions.answer: the host chooses the delay. */
#define ASYNCCALL_DELAY_BY_POLICY UINT64_MAX

typedef struct asynccall_outcome asynccall_outcome;

/* The functions below are to be preferred. */
typedef struct asynccall_outcome_functions {
    uint32_t size;
    uint32_t reserved;
    /* An ASYNCCALL_VERDICT_…; for ASYNCCALL_VERDICT_RETRY the milliseconds until the next try, or
     * ASYNCCALL_DELAY_BY_POLICY; the priority that a job which is released or buried gets, as in asynccall_new_job;
     * and why, in one line. A result that was there is gone. */
    void (*answer)(asynccall_outcome *outcome, uint8_t verdict, uint64_t delay_ms, int64_t priority,
                   asynccall_text message);
    /* Adds a result to the answer; where there is none, the job is done. */
    void (*result)(asynccall_outcome *outcome, asynccall_text json);
} asynccall_outcome_functions;

/* Where `execute` leaves its answer before it returns, one thread at a time. The last one counts; none at all is a
 * failure. */
struct asynccall_outcome {
    const asynccall_outcome_functions *functions;
};

/* Why a handler was not made. */
enum {
    ASYNCCALL_FAILURE_UNKNOWN_HANDLER = 0, /* the plugin has no handler of that name */
    ASYNCCALL_FAILURE_CONFIG = 1,          /* the configuration does not fit the handler */
    ASYNCCALL_FAILURE_FAILED = 2,          /* it fits, but the handler cannot be made, or cannot work */
    ASYNCCALL_FAILURE_PANIC = 3            /* code that the handler called ended in an exception */
};

typedef struct asynccall_failure asynccall_failure;

/* asynccall_fail is to be preferred. */
typedef struct asynccall_failure_functions {
    uint32_t size;
    uint32_t reserved;
    void (*fail)(asynccall_failure *failure, uint8_t kind, asynccall_text message);
} asynccall_failure_functions;

/* Where `create` and `self_check` say why they failed before they return, one thread at a time. */
struct asynccall_failure {
    const asynccall_failure_functions *functions;
};

/* Texts of the functions below are cut here, in bytes. */
#define ASYNCCALL_TEXT_MAX 1024

__attribute__((format(printf, 3, 0)))
static inline asynccall_text asynccall_format(char *buffer, size_t capacity, const char *format, va_list arguments)
{
    asynccall_text text;
    int wanted = vsnprintf(buffer, capacity, format, arguments);
    text.ptr = buffer;
    text.len = wanted < 0 ? 0 : (size_t)wanted < capacity ? (size_t)wanted : capacity - 1;
    return text;
}

/* The job is done, without a result. */
static inline void asynccall_done(asynccall_outcome *outcome)
{
    outcome->functions->answer(outcome, ASYNCCALL_VERDICT_DONE, ASYNCCALL_DELAY_BY_POLICY, ASYNCCALL_PRIORITY_KEEP,
                               asynccall_text_of(""));
}

/* The job is done, and this JSON document is its result. What is no JSON is a failure. */
static inline void asynccall_done_with(asynccall_outcome *outcome, asynccall_text json)
{
    asynccall_done(outcome);
    outcome->functions->result(outcome, json);
}

#define ASYNCCALL_ANSWER_(outcome, verdict, delay_ms, format)                                                        \
    do {                                                                                                             \
        char buffer_[ASYNCCALL_TEXT_MAX];                                                                            \
        va_list arguments_;                                                                                          \
        va_start(arguments_, format);                                                                                \
        (outcome)->functions->answer((outcome), (verdict), (delay_ms), ASYNCCALL_PRIORITY_KEEP,                      \
                                     asynccall_format(buffer_, sizeof buffer_, format, arguments_));                 \
        va_end(arguments_);                                                                                          \
    } while (0)

/* Another try after that time, whatever the policy says. Here as below: why, in one line, as for printf. */
__attribute__((format(printf, 3, 4), unused))
static void asynccall_retry_in(asynccall_outcome *outcome, uint64_t delay_ms, const char *format, ...)
{
    ASYNCCALL_ANSWER_(outcome, ASYNCCALL_VERDICT_RETRY, delay_ms, format);
}

/* No other try before a person has looked at it. */
__attribute__((format(printf, 2, 3), unused))
static void asynccall_bury(asynccall_outcome *outcome, const char *format, ...)
{
    ASYNCCALL_ANSWER_(outcome, ASYNCCALL_VERDICT_BURY, ASYNCCALL_DELAY_BY_POLICY, format);
}

/* The handler failed; the host's retry policy decides. */
__attribute__((format(printf, 2, 3), unused))
static void asynccall_failed(asynccall_outcome *outcome, const char *format, ...)
{
    ASYNCCALL_ANSWER_(outcome, ASYNCCALL_VERDICT_FAILED, ASYNCCALL_DELAY_BY_POLICY, format);
}

/* The handler gave no answer, as after an exception. */
__attribute__((format(printf, 2, 3), unused))
static void asynccall_exception(asynccall_outcome *outcome, const char *format, ...)
{
    ASYNCCALL_ANSWER_(outcome, ASYNCCALL_VERDICT_EXCEPTION, ASYNCCALL_DELAY_BY_POLICY, format);
}

/* Says why `create` or `self_check` fails, and answers `false` for them to return. `kind` is an ASYNCCALL_FAILURE_…. */
__attribute__((format(printf, 3, 4), unused))
static bool asynccall_fail(asynccall_failure *failure, uint8_t kind, const char *format, ...)
{
    char buffer[ASYNCCALL_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    failure->functions->fail(failure, kind, asynccall_format(buffer, sizeof buffer, format, arguments));
    va_end(arguments);
    return false;
}

/* Writes an event of the job that this thread runs, if the host keeps it. */
__attribute__((format(printf, 4, 5), unused))
static void asynccall_log(const asynccall_host *host, uint8_t level, const char *target, const char *format, ...)
{
    char buffer[ASYNCCALL_TEXT_MAX];
    asynccall_log_record record;
    va_list arguments;
    if (!host->log_enabled(level, asynccall_text_of(target)))
        return;
    memset(&record, 0, sizeof record);
    record.level = level;
    record.target = asynccall_text_of(target);
    va_start(arguments, format);
    record.message = asynccall_format(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    host->log(&record);
}

/* ---- The plugin ----------------------------------------------------------------------------------------------- */

/*
 * What the host calls. `create` and `execute` are needed; each other one may be NULL.
 *
 * `state` is whatever `create` has left in its `*state`, which was NULL before; NULL is as good as anything. Any thread
 * may call a function, and not always the same. The host copies the table once.
 */
typedef struct asynccall_plugin_functions {
    /* sizeof(asynccall_plugin_functions), as the plugin was built. */
    uint32_t size;
    uint32_t reserved;
    /* Makes the handler of that name from its configuration, a JSON document (`{}` where there is none). `false`, with
     * asynccall_fail: it cannot, and nothing is called with this `state`. Any number of times, also at once, each
     * handler its own state; `host` is always the same. */
    bool (*create)(const asynccall_host *host, asynccall_text handler, asynccall_text config, void **state,
                   asynccall_failure *failure);
    /* Runs one job to its end. Any number of threads at once. */
    void (*execute)(void *state, const asynccall_job *job, asynccall_outcome *outcome);
    /* Ends a handler: at most once, after everything else, and not at all where the process ends first. */
    void (*destroy)(void *state);
    /* Whether the handler can do its work, before its first job. `false`, with asynccall_fail: it cannot. */
    bool (*self_check)(void *state, asynccall_failure *failure);
    /* How often `tick` is wanted, in milliseconds; 0: never. Asked once, before the first job. */
    uint64_t (*tick_every_ms)(void *state);
    /* Does what is due apart from jobs, while they run. One thread at a time, and no sooner after the last one has
     * returned than `tick_every_ms` says. */
    void (*tick)(void *state);
    /* Says goodbye: the last job and tick have ended. At most once, and only in a worker that leaves in order. The
     * process may end before it has returned. */
    void (*shutdown)(void *state);
    /* The JSON Schemas `{"config": …, "payload": …}` of a handler, each if given, in static memory; empty: none. Also
     * called before `create`, and on several threads at once. */
    asynccall_text (*describe)(asynccall_text handler);
} asynccall_plugin_functions;

/* The descriptor, as ASYNCCALL_PLUGIN writes it. */
typedef struct asynccall_descriptor {
    char magic[8];
    uint32_t size;
    uint32_t kind;
    uint16_t abi_major;
    uint16_t abi_minor;
    uint32_t reserved;
    asynccall_text name;
    asynccall_text version;
    asynccall_text toolchain;
    const void *(*entry)(void);
} asynccall_descriptor;

#ifdef __cplusplus
}
#define ASYNCCALL_EXPORT_ extern "C" __attribute__((visibility("default")))
#else
#define ASYNCCALL_EXPORT_ extern __attribute__((visibility("default")))
#endif

#define ASYNCCALL_QUOTED_(value) #value
#define ASYNCCALL_STRING_(value) ASYNCCALL_QUOTED_(value)
#define ASYNCCALL_LITERAL_(text) { text, sizeof(text) - 1 }

/* One handler: its name, best of a-z, 0-9, `_` and `-` as plugins in Rust have it, and one line for people. String
 * literals that stand in a JSON document: a quote is written \\\" there. */
#define ASYNCCALL_HANDLER(name, description) "{\"name\":\"" name "\",\"description\":\"" description "\"}"
/* One more. */
#define ASYNCCALL_AND_HANDLER(name, description) "," ASYNCCALL_HANDLER(name, description)

/* So that no other table is exported by mistake. */
static inline const void *asynccall_table_(const asynccall_plugin_functions *table) { return table; }

/*
 * Exports the plugin. Once per library, at file scope, with string literals:
 *
 *   ASYNCCALL_PLUGIN("shout", "1.0.0", functions,
 *       ASYNCCALL_HANDLER("shout", "Says it louder")
 *       ASYNCCALL_AND_HANDLER("whisper", "Says it again, but softly"))
 *
 * `functions` is an asynccall_plugin_functions in static memory.
 */
#define ASYNCCALL_PLUGIN(name, version, functions, handlers)                                                         \
    static const void *asynccall_entry_(void) { return asynccall_table_(&(functions)); }                             \
    ASYNCCALL_EXPORT_ const char asynccall_manifest[];                                                               \
    const char asynccall_manifest[] =                                                                                \
        "{\"abi\":\"" ASYNCCALL_STRING_(ASYNCCALL_ABI_MAJOR) "." ASYNCCALL_STRING_(ASYNCCALL_ABI_MINOR)              \
        "\",\"name\":\"" name "\",\"version\":\"" version "\",\"toolchain\":\"cc " __VERSION__                       \
        "\",\"handlers\":[" handlers "]}";                                                                           \
    ASYNCCALL_EXPORT_ const asynccall_descriptor asynccall_plugin;                                                   \
    const asynccall_descriptor asynccall_plugin = {                                                                  \
        { 'A', 'S', 'Y', 'N', 'C', 'A', 'L', 'L' },                                                                  \
        sizeof(asynccall_descriptor),                                                                                \
        2,                                                                                                           \
        ASYNCCALL_ABI_MAJOR,                                                                                         \
        ASYNCCALL_ABI_MINOR,                                                                                         \
        0,                                                                                                           \
        ASYNCCALL_LITERAL_(name),                                                                                    \
        ASYNCCALL_LITERAL_(version),                                                                                 \
        ASYNCCALL_LITERAL_("cc " __VERSION__),                                                                       \
        asynccall_entry_                                                                                             \
    };

#endif
