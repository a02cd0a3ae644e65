/* Drives Microsoft's debugger engine without a window: opens dumps, runs debugger commands, prints what the engine says.
 * Built with mingw-w64, run under Wine (eng/referee).
 *
 * Standard input is a script, UTF-8, one entry a line:
 *   open PATH       opens a dump (and closes the one before); PATH may be a Unix path
 *   each COMMAND    runs "~Ns" and COMMAND for every processor of the dump, printed under "~Ns; COMMAND"
 *   COMMAND         anything else is a debugger command
 *
 * Standard output: "@@ open PATH" before what the engine says while it opens a dump, then "@@ opened" or "@@ refused 0xHRESULT";
 * "@@ run COMMAND" before what a command prints, and "@@ failed 0xHRESULT" behind it where the engine refused the command; "@@ end" last.
 * A line of the engine's own that begins with "@" gets a blank before it, so that a dump cannot forge these marks.
 *
 * Exit code: 0 every dump was opened, 1 one was refused, 3 the engine did not start.
 */
#define INITGUID
#include <initguid.h>
#include <windows.h>
#include <dbgeng.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <string.h>

enum { ok = 0, refused = 1, no_engine = 3, longest_line = 32768 };

static BOOL at_line_start = TRUE;

static void print_engine_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '\r')
            continue;
        if (at_line_start && *text == '@')
            putchar(' ');
        putchar(*text);
        at_line_start = *text == '\n';
    }
}

static void mark(const char *what, const char *of)
{
    if (!at_line_start)
        putchar('\n');
    printf("@@ %s%s%s\n", what, *of ? " " : "", of);
    fflush(stdout);
    at_line_start = TRUE;
}

/* IDebugOutputCallbacks in C: one static object, so reference counts mean nothing. */
static HRESULT STDMETHODCALLTYPE query(IDebugOutputCallbacks *self, REFIID wanted, void **out)
{
    /* IDebugOutputCallbacks2 must be refused: the engine would call methods that this object does not have. */
    if (!IsEqualIID(wanted, &IID_IUnknown) && !IsEqualIID(wanted, &IID_IDebugOutputCallbacks)) {
        *out = NULL;
        return E_NOINTERFACE;
    }
    *out = self;
    return S_OK;
}
static ULONG STDMETHODCALLTYPE add_ref(IDebugOutputCallbacks *self) { (void)self; return 1; }
static ULONG STDMETHODCALLTYPE release(IDebugOutputCallbacks *self) { (void)self; return 1; }
static HRESULT STDMETHODCALLTYPE output(IDebugOutputCallbacks *self, ULONG kind, PCSTR text)
{
    (void)self, (void)kind;
    print_engine_text(text);
    return S_OK;
}
static IDebugOutputCallbacksVtbl methods = { query, add_ref, release, output };
static IDebugOutputCallbacks sink = { &methods };

static IDebugClient4 *client;
static IDebugControl *control;
static BOOL is_open;

static void mark_result(const char *what, HRESULT result)
{
    char code[16];

    snprintf(code, sizeof code, "0x%08lx", (unsigned long)result);
    mark(what, code);
}

static HRESULT open_dump(const char *path)
{
    static WCHAR wide[longest_line];
    HRESULT result;

    if (is_open)
        client->lpVtbl->EndSession(client, DEBUG_END_ACTIVE_DETACH);
    is_open = FALSE;
    mark("open", path);
    /* Wine shows the host's root directory as drive Z. */
    wcscpy(wide, *path == '/' ? L"Z:" : L"");
    MultiByteToWideChar(CP_UTF8, 0, path, -1, wide + wcslen(wide), longest_line - 2);
    result = client->lpVtbl->OpenDumpFileWide(client, wide, 0);
    if (SUCCEEDED(result)) {
        result = control->lpVtbl->WaitForEvent(control, 0, INFINITE);
        is_open = SUCCEEDED(result);
        if (!is_open)
            client->lpVtbl->EndSession(client, DEBUG_END_ACTIVE_DETACH);
    }
    if (is_open)
        mark("opened", "");
    else
        mark_result("refused", result);
    return result;
}

static void run(const char *command)
{
    HRESULT result;

    if (!is_open)
        return;
    mark("run", command);
    result = control->lpVtbl->Execute(control, DEBUG_OUTCTL_THIS_CLIENT, command, DEBUG_EXECUTE_NOT_LOGGED | DEBUG_EXECUTE_NO_REPEAT);
    if (FAILED(result))
        mark_result("failed", result);
}

static void run_on_each_processor(const char *command)
{
    static char one[longest_line + 16];
    ULONG count = 0, i;

    if (!is_open || FAILED(control->lpVtbl->GetNumberProcessors(control, &count)))
        return;
    /* 2048 is Windows' own limit; a header may claim anything. */
    for (i = 0; i < count && i < 2048; i++) {
        snprintf(one, sizeof one, "~%lus; %s", (unsigned long)i, command);
        run(one);
    }
}

int main(void)
{
    static char line[longest_line];
    int outcome = ok;

    _setmode(_fileno(stdout), _O_BINARY);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (FAILED(DebugCreate(&IID_IDebugClient4, (void **)&client)) ||
        FAILED(client->lpVtbl->QueryInterface(client, &IID_IDebugControl, (void **)&control))) {
        fputs("the debugger engine did not start\n", stderr);
        return no_engine;
    }
    client->lpVtbl->SetOutputCallbacks(client, &sink);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        if (!strncmp(line, "open ", 5)) {
            if (FAILED(open_dump(line + 5)))
                outcome = refused;
        } else if (!strncmp(line, "each ", 5))
            run_on_each_processor(line + 5);
        else if (*line)
            run(line);
    }
    mark("end", "");
    fflush(stdout);
    /* No tidy end: unloading the engine under Wine buys nothing and can hang. */
    TerminateProcess(GetCurrentProcess(), outcome);
    return outcome;
}
