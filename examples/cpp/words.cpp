// A handler in C++: counts the words of a job's message. README.md builds and runs it.
#include <asynccall_plugin.h>

#include <exception>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

namespace {

// What a handler throws where no other try helps.
struct Unreadable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Words {
public:
    Words(const asynccall_host *host, const std::string &config) : host_(host)
    {
        if (config != "{}")
            throw std::invalid_argument("it has no configuration");
    }

    std::string run(const asynccall_job *job) const
    {
        asynccall_text json;
        const bool readable = asynccall_job_json(job, &json);
        std::string text(json.ptr, json.len);
        if (!readable)
            throw Unreadable(text);
        std::istringstream words(text);
        std::size_t count = 0;
        for (std::string word; words >> word;)
            ++count;
        asynccall_log(host_, ASYNCCALL_INFO, "words", "counted %zu words", count);
        return "{\"words\":" + std::to_string(count) + "}";
    }

private:
    const asynccall_host *host_;
};

// No exception may leave the plugin: each function that the host calls ends all of them.

bool create(const asynccall_host *host, asynccall_text, asynccall_text config, void **state, asynccall_failure *failure)
try {
    *state = std::make_unique<Words>(host, std::string(config.ptr, config.len)).release();
    return true;
} catch (const std::invalid_argument &error) {
    return asynccall_fail(failure, ASYNCCALL_FAILURE_CONFIG, "%s", error.what());
} catch (const std::exception &error) {
    return asynccall_fail(failure, ASYNCCALL_FAILURE_PANIC, "%s", error.what());
} catch (...) {
    return asynccall_fail(failure, ASYNCCALL_FAILURE_PANIC, "an exception that is no std::exception");
}

void execute(void *state, const asynccall_job *job, asynccall_outcome *outcome)
try {
    const std::string result = static_cast<const Words *>(state)->run(job);
    asynccall_done_with(outcome, asynccall_text_of(result.c_str()));
} catch (const Unreadable &error) {
    asynccall_bury(outcome, "%s", error.what());
} catch (const std::exception &error) {
    asynccall_exception(outcome, "%s", error.what());
} catch (...) {
    asynccall_exception(outcome, "an exception that is no std::exception");
}

void destroy(void *state) { delete static_cast<Words *>(state); }

const asynccall_plugin_functions functions = {
    sizeof(asynccall_plugin_functions), 0, create, execute, destroy, nullptr, nullptr, nullptr, nullptr, nullptr,
};

} // namespace

ASYNCCALL_PLUGIN("words", "1.0.0", functions, ASYNCCALL_HANDLER("words", "Counts the words of the message"))
