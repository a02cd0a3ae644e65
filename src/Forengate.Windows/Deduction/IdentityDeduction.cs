using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>Finds what tells a process: its number, its parent's, its name, the path of its image, its times and its count of threads.</summary>
internal sealed class IdentityDeduction(ProcessCensus census, ThreadDeduction threads, DebuggerData? debugger, SharedFacts? shared, DeductionLedger ledger)
{
    private const ulong SystemId = 4;

    /// <summary>Identifiers are handles of a table: multiples of four, far below this.</summary>
    private const ulong MaxId = 1UL << 28;

    /// <summary>Bytes of a path believed: NT paths end at 32,767 characters.</summary>
    private const int MaxPath = 0xFFFE;

    /// <summary>The clock may have been set since boot, by a day and more where the host's clock holds local time; creation may lie so far outside of boot and now.</summary>
    private const ulong Tolerance = 3 * 864_000_000_000;

    /// <summary>One pair of neighbours in so many may be out of order: the list is in the order of creation, but for a few early ones.</summary>
    private const int MostDisordered = 8;

    private const int ClientIdLength = 16;
    private const int MaxThreads = 256;

    public void FindIds()
    {
        var fits = census.Where(census.Qwords, static (sample, offset) => IsId(sample.Qword(offset)))
            .Where(offset => census.SystemSample.Qword(offset) == SystemId && census.Samples.Select(sample => sample.Qword(offset)).Distinct().Count() == census.Samples.Count)
            .Where(HasClientIds)
            .ToList();
        if (ledger.Choose(KernelField.EPROCESS_UniqueProcessId, fits, null, $"a number of its own in each of {census.Samples.Count} processes, 4 in System, that each process's threads bear too") is not { } id)
            return;
        var known = census.Samples.Select(sample => sample.Qword(id)).ToHashSet();
        var parents = census.Where(census.Qwords, (sample, offset) => sample.Qword(offset) is var parent && (parent == 0 || IsId(parent)) && parent != sample.Qword(id))
            .Where(offset => census.SystemSample.Qword(offset) == 0
                && census.Samples.Count(sample => sample.Qword(offset) != 0) * 2 > census.Samples.Count - 1
                && census.Samples.Count(sample => known.Contains(sample.Qword(offset))) * 3 > census.Samples.Count - 1)
            .ToList();
        ledger.Choose(
            KernelField.EPROCESS_InheritedFromUniqueProcessId, parents, debugger?.Word(DebuggerDataField.OffsetEprocessParentCid),
            $"a process number, in most processes a listed one's, never its own, none in System ({census.Samples.Count} processes)");
    }

    public void FindNames()
    {
        var names = Enumerable.Range(0, census.Size - ProcessReader.ImageFileNameLength);
        var fits = census.Where(names.Where(offset => census.SystemSample.Bytes.Slice(offset, 7).SequenceEqual("System\0"u8)), static (sample, offset) => IsName(sample.Bytes.Slice(offset, ProcessReader.ImageFileNameLength)));
        if (ledger.Choose(KernelField.EPROCESS_ImageFileName, fits, null, $"\"System\" in System and a name of up to 14 characters in each of {census.Samples.Count} processes") is not { } name)
            return;
        var paths = census.Qwords.Where(offset => ProcessCensus.NearlyAll(census.Samples, sample => PathFits(sample, offset, name) != false))
            .Where(offset => census.Samples.Count(sample => PathFits(sample, offset, name) == true) is var agreeing && agreeing > 0 && agreeing * 2 > census.Samples.Count - 1)
            .ToList();
        ledger.Choose(
            KernelField.EPROCESS_SeAuditProcessCreationInfo, paths, null,
            $"a pointer to an NT path in most of {census.Samples.Count} processes, whose file name begins as ImageFileName does, and hardly any that does otherwise");
    }

    public void FindTimes()
    {
        if (shared is not { } now)
            return;
        bool IsTime(ulong time) => time >= now.BootTime - Tolerance && time <= now.SystemTime + Tolerance;
        var created = census.Where(census.Qwords, (sample, offset) => IsTime(sample.Qword(offset)))
            .Where(offset => Disorder(offset) * MostDisordered <= census.Samples.Count && census.Samples.Select(sample => sample.Qword(offset)).Distinct().Count() * 2 > census.Samples.Count)
            .ToList();
        if (ledger.Choose(KernelField.EPROCESS_CreateTime, created, null, $"a time between boot and now in each of {census.Samples.Count} processes, rising along the list") is not { } create)
            return;
        var ended = census.Samples.Count(static sample => sample.HasEnded);
        if (ended == 0)
        {
            ledger.Refuse(KernelField.EPROCESS_ExitTime, "no process in the list has ended: it is zero in all of them, as much else is");
            return;
        }
        var exits = census.Qwords.Where(offset => ProcessCensus.NearlyAll(
            census.Samples, sample => sample.HasEnded ? sample.Qword(offset) >= sample.Qword(create) && IsTime(sample.Qword(offset)) : sample.Qword(offset) == 0))
            .Where(offset => census.Samples.Any(sample => sample.HasEnded && sample.Qword(offset) != 0))
            .ToList();
        ledger.Choose(KernelField.EPROCESS_ExitTime, exits, null, $"a time after its creation in {ended} processes that have ended (signalled), zero in {census.Samples.Count - ended} others");
    }

    /// <summary>A dispatcher header says the size of its object in dwords, where that fits into its byte.</summary>
    public void FindKernelPart()
    {
        var size = census.SystemSample.Bytes[PublicLayouts.HeaderSize] * sizeof(uint);
        var inside = ledger.Fields.Where(static pair => KernelSchema.Fields[(int)pair.Key].Struct == KernelStruct.KPROCESS).Select(static pair => pair.Value).DefaultIfEmpty(0).Max();
        var behind = ledger.Fields.Where(static pair => KernelSchema.Fields[(int)pair.Key].Struct == KernelStruct.EPROCESS).Select(static pair => pair.Value).DefaultIfEmpty(0).Min();
        if (size > inside && size <= behind)
            ledger.Accept(KernelStruct.KPROCESS, size, $"the dispatcher header's size; the kernel's fields found end before, at +0x{inside:x}, the executive's begin behind, at +0x{behind:x}");
    }

    public void FindThreadCount()
    {
        var counted = census.Samples.Where(static sample => sample.Threads is not null).ToList();
        if (counted.Select(static sample => sample.Threads).Distinct().Count() < 2)
        {
            ledger.Refuse(KernelField.EPROCESS_ActiveThreads, "all processes have the same number of threads: other counters could");
            return;
        }
        var offsets = Enumerable.Range(0, census.Size / sizeof(uint)).Select(static i => i * sizeof(uint));
        var fits = offsets.Where(offset => ProcessCensus.NearlyAll(counted, sample => sample.Dword(offset) == (uint)sample.Threads!.Value)).ToList();
        // The most threads a process ever had is never less than those it has, and in some process more.
        bool IsMost(int offset) => fits.Exists(other => counted.TrueForAll(sample => sample.Dword(offset) >= sample.Dword(other)) && counted.Exists(sample => sample.Dword(offset) > sample.Dword(other)));
        ledger.Choose(
            KernelField.EPROCESS_ActiveThreads, [.. fits.Where(offset => !IsMost(offset))], null,
            $"the number of threads that nearly each of {counted.Count} processes has in its list, and nothing that is never more");
    }

    /// <summary>Whether threads bear the numbers at an offset: <c>CLIENT_ID</c> (process, thread) lies at one place in all of them.</summary>
    private bool HasClientIds(int offset)
    {
        var judged = threads.Threads.Take(MaxThreads).ToList();
        if (judged.Count == 0)
            return false;
        Span<byte> pair = stackalloc byte[ClientIdLength];
        for (var place = 0; place + ClientIdLength <= 0x1000; place += sizeof(ulong))
        {
            var all = true;
            for (var i = 0; all && i < judged.Count; i++)
            {
                all = census.Space.TryRead(judged[i].Thread + (ulong)place, out ulong process) && process == judged[i].Owner.Qword(offset)
                    && census.Space.TryRead(judged[i].Thread + (ulong)place + sizeof(ulong), out ulong thread) && IsId(thread);
            }
            if (all)
                return true;
        }
        return false;
    }

    private int Disorder(int offset)
    {
        var disorder = 0;
        for (var i = 1; i < census.Samples.Count; i++)
        {
            if (census.Samples[i].Qword(offset) < census.Samples[i - 1].Qword(offset))
                disorder++;
        }
        return disorder;
    }

    /// <summary>Whether a pointer leads to a path that fits the name; null where it leads to none.</summary>
    private bool? PathFits(ProcessSample sample, int offset, int name)
    {
        var at = sample.Pointer(offset);
        if (at.IsNull)
            return null;
        Span<byte> descriptor = stackalloc byte[UnicodeString.Size];
        if (!KernelPointers.IsObject(at, census.Space.Levels) || !census.Space.TryRead(at, descriptor))
            return sample.HasEnded ? null : false;
        var text = UnicodeString.From(descriptor);
        if (text is { Length: 0, MaximumLength: 0 })
            return null;
        if (!text.IsSane || text.Length > MaxPath || !text.Buffer.IsKernel || text.Read(census.Space) is not { Length: > 0 } path)
            return false;
        // Processes without an image have a name there and no path.
        var file = path[(path.LastIndexOf('\\') + 1)..];
        var own = sample.Bytes.Slice(name, ProcessReader.ImageFileNameLength);
        // As far as both are ASCII: what the code page lacks is another character in the short name.
        for (var i = 0; i < own.Length && own[i] != 0; i++)
        {
            if (i >= file.Length || file[i] >= 0x80)
                return i >= file.Length ? false : true;
            if (char.ToUpperInvariant(file[i]) != char.ToUpperInvariant((char)own[i]))
                return false;
        }
        return true;
    }

    private static bool IsName(ReadOnlySpan<byte> bytes)
    {
        var end = bytes.IndexOf((byte)0);
        return end > 0 && !bytes[..end].ContainsAnyInRange((byte)0, (byte)0x1F);
    }

    private static bool IsId(ulong value) => value is > 0 and < MaxId && value % 4 == 0;
}
