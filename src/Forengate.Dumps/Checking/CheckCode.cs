namespace Forengate.Dumps;

/// <summary>The codes of findings. Stable: programs may test for them.</summary>
public static class CheckCode
{
    /// <summary>A field still holds the letters PAGE.</summary>
    public const string Filler = "header-filler";
    public const string HeaderValue = "header-value";
    public const string Unsupported = "not-checked";
    public const string Encrypted = "encrypted";

    public const string Runs = "runs";
    public const string RunOrder = "runs-order";
    public const string RunSum = "runs-sum";
    public const string Truncated = "truncated";
    public const string TrailingBytes = "trailing-bytes";

    public const string DirectoryTable = "dtb";
    public const string SharedData = "kuser-shared-data";
    public const string XState = "xstate";

    public const string DebuggerData = "kdbg";
    public const string DebuggerDataEncoded = "kdbg-encoded";
    public const string DebuggerDataFlag = "kdbg-flag";
    public const string PfnDatabase = "pfn-database";

    public const string Modules = "modules";
    public const string Processes = "processes";

    public const string ProcessorBlock = "processor-block";
    /// <summary>The thread and process that run on a processor.</summary>
    public const string Thread = "thread";
    public const string Context = "context";
    public const string ContextSwapped = "context-swapped";
    public const string SpecialRegisters = "special-registers";
    public const string Gdt = "gdt";
    public const string Idt = "idt";
    public const string HeaderContext = "header-context";

    public const string Windows = "windows";
    public const string Triage = "triage";
}
