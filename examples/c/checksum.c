/* A handler in C: answers with the Adler-32 checksum of a job's message. README.md builds and runs it. */
#include <asynccall_plugin.h>

#include <stdlib.h>

struct checksum {
    const asynccall_host *host;
    size_t largest;
};

/* The configuration is `{}` or `{"largest": BYTES}`. With more to be told, a JSON library belongs here. */
static bool configure(asynccall_text config, size_t *largest)
{
    char text[128];
    int end = 0;
    if (config.len >= sizeof text)
        return false;
    memcpy(text, config.ptr, config.len);
    text[config.len] = '\0';
    if (sscanf(text, " { } %n", &end) == 0 && (size_t)end == config.len)
        return true;
    return sscanf(text, " { \"largest\" : %zu } %n", largest, &end) == 1 && (size_t)end == config.len;
}

static bool create(const asynccall_host *host, asynccall_text handler, asynccall_text config, void **state,
                   asynccall_failure *failure)
{
    struct checksum *self = malloc(sizeof *self);
    (void)handler; /* There is only one. */
    if (self == NULL)
        return asynccall_fail(failure, ASYNCCALL_FAILURE_FAILED, "no memory");
    self->host = host;
    self->largest = 1024 * 1024;
    if (!configure(config, &self->largest)) {
        free(self);
        return asynccall_fail(failure, ASYNCCALL_FAILURE_CONFIG, "wanted nothing but `largest`, a number of bytes");
    }
    *state = self;
    return true;
}

static void execute(void *state, const asynccall_job *job, asynccall_outcome *outcome)
{
    const struct checksum *self = state;
    asynccall_text json;
    uint32_t a = 1, b = 0;
    char result[64];
    if (!asynccall_job_json(job, &json)) {
        asynccall_bury(outcome, "%.*s", (int)json.len, json.ptr);
        return;
    }
    if (json.len > self->largest) {
        asynccall_bury(outcome, "the message has %zu bytes, more than %zu", json.len, self->largest);
        return;
    }
    for (size_t i = 0; i < json.len; i++) {
        if (i % 4096 == 0 && asynccall_job_cancelled(job)) {
            asynccall_retry_in(outcome, 1000, "asked to give up after %zu bytes", i);
            return;
        }
        a = (a + (unsigned char)json.ptr[i]) % 65521;
        b = (b + a) % 65521;
    }
    asynccall_log(self->host, ASYNCCALL_INFO, "checksum", "summed %zu bytes", json.len);
    snprintf(result, sizeof result, "{\"adler32\":%lu}", (unsigned long)b << 16 | a);
    asynccall_done_with(outcome, asynccall_text_of(result));
}

static void destroy(void *state) { free(state); }

static const asynccall_plugin_functions functions = {
    .size = sizeof(asynccall_plugin_functions),
    .create = create,
    .execute = execute,
    .destroy = destroy,
};

ASYNCCALL_PLUGIN("checksum", "1.0.0", functions, ASYNCCALL_HANDLER("checksum", "Adler-32 of the message"))
