using Forengate.Memory;
using Forengate.Symbols;
using K = Forengate.Windows.DebuggerDataField;

namespace Forengate.Windows;

/// <summary>Where a build keeps what is read of the structures in a small dump and KDBG does not say. Offsets in bytes.</summary>
internal sealed record SmallDumpLayout
{
    /// <summary>Which kernel's it is, for people.</summary>
    public required string Name { get; init; }

    // _EPROCESS.
    public required int ProcessId { get; init; }
    public required int ImageFileName { get; init; }
    public required int? CreateTime { get; init; }
    public required int? ExitTime { get; init; }
    public required int? ActiveThreads { get; init; }
    public int? UserDirectoryTableBase { get; init; }
    public int? WoW64Process { get; init; }

    /// <summary>Bytes of an EPROCESS that hold all of these.</summary>
    public required int Length { get; init; }

    /// <summary><c>ETHREAD.Cid.UniqueThread</c>.</summary>
    public required int? ThreadId { get; init; }

    /// <summary>A known kernel's of the same build whose EPROCESS is as long, and has the fields that KDBG tells where, as the dump's says; null where there is none.</summary>
    /// <param name="header">Of the dump.</param>
    /// <param name="kdbg">Of the dump; of 32-bit Windows it may be empty or too old to say anything.</param>
    /// <param name="available">Bytes of the EPROCESS that the dump has.</param>
    /// <param name="profiles">Known kernels.</param>
    public static SmallDumpLayout? Of(TriageHeader header, ReadOnlySpan<byte> kdbg, int available, ProfileStore profiles)
    {
        if (!header.Is64Bit)
            return X86Layouts.Of(profiles, header.Build, kdbg) is { } narrow && narrow.ProcessSize <= available ? Of(narrow) : null;
        foreach (var profile in profiles.Profiles)
        {
            if (profile.Version.Build == header.Build && profile.SizeOf(KernelStruct.EPROCESS) == SmallDumpReader.Word(kdbg, K.SizeEProcess)
                && profile.OffsetOf(KernelField.EPROCESS_InheritedFromUniqueProcessId) == SmallDumpReader.Word(kdbg, K.OffsetEprocessParentCid)
                && profile.OffsetOf(KernelField.EPROCESS_Peb) == SmallDumpReader.Word(kdbg, K.OffsetEprocessPeb)
                && KernelLayouts.Resolve(profile, out _) is { } layouts && layouts.Process.Length <= available)
                return Of(profile, layouts.Process);
        }
        return null;
    }

    private static SmallDumpLayout Of(KernelProfile profile, ProcessLayout process) => new()
    {
        Name = profile.ToString(),
        ProcessId = process.UniqueProcessId,
        ImageFileName = process.ImageFileName,
        CreateTime = process.CreateTime,
        ExitTime = process.ExitTime,
        ActiveThreads = process.ActiveThreads,
        UserDirectoryTableBase = process.UserDirectoryTableBase,
        WoW64Process = process.WoW64Process,
        Length = process.Length,
        ThreadId = profile.OffsetOf(KernelField.ETHREAD_Cid_UniqueThread),
    };

    private static SmallDumpLayout Of(X86Layout layout) => new()
    {
        Name = $"build {layout.Build} (32 bits)",
        ProcessId = layout.ProcessId,
        ImageFileName = layout.ImageFileName,
        CreateTime = layout.CreateTime,
        ExitTime = layout.ExitTime,
        ActiveThreads = layout.ActiveThreads,
        Length = layout.ProcessSize,
        ThreadId = layout.ThreadId,
    };
}
