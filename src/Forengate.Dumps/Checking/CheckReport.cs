using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>How much a finding matters to someone who opens the dump in a debugger.</summary>
public enum CheckSeverity
{
    /// <summary>Worth knowing; genuine dumps have it.</summary>
    Note,

    /// <summary>A debugger shows less, or something doubtful.</summary>
    Warning,

    /// <summary>A debugger complains, shows something wrong, or does not open the dump.</summary>
    Error,
}

/// <summary>One thing found.</summary>
/// <param name="Severity">How much it matters.</param>
/// <param name="Code">Stable, for programs: <see cref="CheckCode"/>.</param>
/// <param name="Text">One line: what is wrong where.</param>
public sealed record CheckFinding(CheckSeverity Severity, string Code, string Text);

/// <summary>A run and its true place in the file.</summary>
/// <param name="Start">Guest-physical address.</param>
/// <param name="Length">In bytes.</param>
/// <param name="FileOffset">In bytes, where its first page really lies.</param>
/// <param name="BytesInFile">Less than <paramref name="Length"/> where the file ends early.</param>
public sealed record CheckedRun(PhysicalAddress Start, ulong Length, ulong FileOffset, ulong BytesInFile);

/// <summary>What a debugger finds for one processor; null for what it does not.</summary>
public sealed record CheckedProcessor
{
    public required int Number { get; init; }

    public VirtualAddress? Kprcb { get; init; }

    /// <summary>Where the pointer in the KPRCB leads.</summary>
    public VirtualAddress? Context { get; init; }

    public ulong? Rip { get; init; }

    public ulong? Rsp { get; init; }

    public ushort? SegCs { get; init; }

    public VirtualAddress? Gdt { get; init; }

    public VirtualAddress? Idt { get; init; }
}

/// <summary>A dump, judged as a debugger would read it.</summary>
public sealed record CheckReport
{
    public required string Path { get; init; }

    /// <summary>"64-bit complete dump", in words.</summary>
    public required string Kind { get; init; }

    /// <summary>In bytes.</summary>
    public required ulong FileLength { get; init; }

    /// <summary>The header's fields as they stand.</summary>
    public required IReadOnlyList<HeaderField> Fields { get; init; }

    /// <summary>In the header's order; empty for dumps without runs.</summary>
    public required IReadOnlyList<CheckedRun> Runs { get; init; }

    public required IReadOnlyList<CheckedProcessor> Processors { get; init; }

    /// <summary>Modules in PsLoadedModuleList, or drivers in a small dump; null where the list was not walked.</summary>
    public int? Modules { get; init; }

    /// <summary>Processes in PsActiveProcessHead; null where the list was not walked.</summary>
    public int? Processes { get; init; }

    /// <summary>In a debugger's order of reading.</summary>
    public required IReadOnlyList<CheckFinding> Findings { get; init; }

    /// <summary>No error among the findings.</summary>
    public bool Passed => Findings.All(finding => finding.Severity != CheckSeverity.Error);
}
