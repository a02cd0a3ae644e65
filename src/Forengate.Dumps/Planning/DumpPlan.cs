using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>
/// Everything that a dump will hold, decided before a byte is written: the header, the runs, and the bytes that differ from the guest's own. Reads the view, changes nothing.
/// </summary>
public sealed class DumpPlan
{
    internal DumpPlan(
        View view, ReadOnlyMemory<byte> header, IReadOnlyList<CrashDumpRun> runs, IReadOnlyList<DumpPatch> patches, IReadOnlyList<CrashDumpRun>? stored = null,
        ReadOnlyMemory<byte> bitmap = default, PhysicalMemory? memory = null)
    {
        (View, Header, Runs, Patches, Stored, Bitmap) = (view, header, runs, patches, stored ?? runs, bitmap);
        Held = Stored;
        Memory = Over(memory ?? view.Memory, patches);
    }

    /// <summary>Where the pages come from; not owned.</summary>
    public View View { get; }

    /// <summary>The header as it will be written, <see cref="CrashDumpLayout64.HeaderSize"/> bytes.</summary>
    public ReadOnlyMemory<byte> Header { get; }

    /// <summary>What lies between header and pages; empty for a complete dump. Of a small dump all that it holds.</summary>
    public ReadOnlyMemory<byte> Bitmap { get; }

    public DumpKind Kind { get; internal init; }

    /// <summary>In ascending order, at most <see cref="CrashDumpLayout64.MaxRuns"/>.</summary>
    public IReadOnlyList<CrashDumpRun> Runs { get; }

    /// <summary>The pages that the dump has, in its order: all of <see cref="Runs"/>, but for a bitmap dump only those that the view has bytes for.</summary>
    public IReadOnlyList<CrashDumpRun> Stored { get; }

    /// <summary>Of <see cref="Runs"/> those that the view has bytes for, whether the dump has them or leaves them out; all, where the dump has zeros for what there is not.</summary>
    internal IReadOnlyList<CrashDumpRun> Held { get; init; }

    /// <summary>The pages of <see cref="Runs"/> that the guest has: not the holes that a run takes in because a header has no room for more runs.</summary>
    internal IReadOnlyList<PhysicalRange> Wanted { get; init; } = [];

    /// <summary>What a dump of this kind leaves out though it is there, by what it is.</summary>
    public IReadOnlyList<LeftOutPages> LeftOut { get; internal init; } = [];

    /// <summary>Processes whose own pages hold a marker instead of what the guest has there.</summary>
    public IReadOnlyList<ExcludedProcess> Excluded { get; internal init; } = [];

    /// <summary>The comment with something in front that is known only when all pages were read.</summary>
    internal Func<string, string> CommentWith { get; init; } = static closing => closing;

    /// <summary>How many pages of the dump hold that marker.</summary>
    public ulong ExcludedPages { get; internal init; }

    /// <summary>Bytes of the pages of <see cref="LeftOut"/>.</summary>
    public ulong LeftOutBytes => LeftOut.Aggregate(0UL, (sum, left) => sum + left.Pages) << Page.Shift;

    /// <summary>The header's fields with their sources, in the header's order; what stayed filler has no value.</summary>
    public IReadOnlyList<HeaderField> Fields { get; internal init; } = [];

    /// <summary>What the dump holds in place of the guest's own bytes. The guest is never written to.</summary>
    public IReadOnlyList<DumpPatch> Patches { get; }

    /// <summary>The guest's memory as the dump will hold it: the view's, with the patches over it.</summary>
    public PhysicalMemory Memory { get; }

    public IReadOnlyList<DumpedProcessor> Processors { get; internal init; } = [];

    /// <summary>Worth telling, no fault.</summary>
    public IReadOnlyList<string> Notes { get; internal init; } = [];

    /// <summary>Where two sources say different things, and whose word was taken.</summary>
    public IReadOnlyList<string> Disagreements { get; internal init; } = [];

    /// <summary>What a debugger will miss in this dump.</summary>
    public IReadOnlyList<string> Gaps { get; internal init; } = [];

    /// <summary>Pages in the dump.</summary>
    public ulong PageCount => Stored.Aggregate(0UL, (sum, run) => sum + run.PageCount);

    /// <summary>Where the pages begin in the file, in bytes.</summary>
    public ulong FirstPage => (ulong)(Header.Length + Bitmap.Length);

    /// <summary>Size of the dump, in bytes; on disk it takes less where pages are zero.</summary>
    public ulong FileSize => FirstPage + (PageCount << Page.Shift);

    /// <summary>The comment's bytes anew, with something in front, and where they lie in the header.</summary>
    internal byte[] CommentBytes(string closing, out int at)
    {
        (at, var size) = Header.Length == CrashDumpLayout64.HeaderSize ? (CrashDumpLayout64.Comment, CrashDumpLayout64.CommentSize) : (CrashDumpLayout32.Comment, CrashDumpLayout32.CommentSize);
        var bytes = new byte[size];
        var text = CommentWith(closing);
        for (var i = 0; i < Math.Min(text.Length, size - 1); i++)
            bytes[i] = text[i] is >= ' ' and <= '~' ? (byte)text[i] : (byte)'?';
        return bytes;
    }

    /// <summary>Plans a 64-bit dump of a system.</summary>
    /// <exception cref="DumpWriteException">A dump of this kind can't be made of this system; one line says why and what to try.</exception>
    public static DumpPlan For(WindowsSystem system, DumpOptions? options = null, CancellationToken ct = default) => For(DumpFacts.Of(system), options ?? DumpOptions.Default, ct);

    internal static DumpPlan For(DumpFacts facts, DumpOptions options, CancellationToken ct = default)
    {
        if (options.Exclude.Count > 0 && options.Kind is DumpKind.Kernel or DumpKind.Small)
            throw new DumpWriteException($"--exclude has nothing to do in a {options.Kind.ToString().ToLowerInvariant()} dump: there are no user pages in it");
        var (notes, disagreements, gaps) = (new List<string>(), new List<string>(), new List<string>());
        var runs = RunPlan.Make(facts.View.Memory.Ranges, facts.MemoryBlock, options.Kind, RangeSets.Ballooned(facts.View.Memory));
        notes.AddRange(runs.Notes);
        disagreements.AddRange(runs.Disagreements);
        gaps.AddRange(runs.Gaps);

        if (options.BugCheck is { } announced)
        {
            if (announced.Difference(facts.BugCheck, static value => value) is { } difference)
                disagreements.Add(difference);
            facts = facts with { BugCheck = announced.Data, BugCheckSource = announced.Source };
        }

        var patches = new PatchList(facts.Kernel);
        PatchDebuggerBlock(facts, patches, gaps);
        var processors = facts.Processors.Select(processor => ProcessorPatches.Add(patches, facts.Kernel, processor, gaps)).ToList();
        CompareProcessors(facts, disagreements);

        var choice = ProcessorChoice.Make(facts.Processors, facts.BugCheck, facts.Kernel);
        var isSmall = options.Kind == DumpKind.Small;
        var isBitmap = !isSmall && options.Kind != DumpKind.Full;
        var held = isBitmap ? PageBitmap.Readable(facts.View.Memory, runs.Wanted) : runs.Runs;
        var selection = Select(facts, options.Kind, held, patches.Patches, notes, ct);
        var stored = selection.Stored;
        var bitmap = isBitmap ? PageBitmap.Make(CrashDumpLayout64.HeaderSize, runs.Runs, stored)
            : isSmall ? SmallDumpPlan.Make(facts, Over(facts.View.Memory, patches.Patches), choice, gaps, ct) : [];

        var exclusion = options.Exclude.Count > 0 ? Exclusion.Find(facts, options.Exclude, ct) : null;
        var excluded = exclusion is null ? 0 : PageSelection.Of(stored, exclusion.Pages, new HashSet<ulong>(), "other").PageCount;
        string Comment(string? closing) => CommentOf(facts.View, options, closing) is var text && exclusion is not null ? exclusion.Record(text, excluded) : text;
        var comment = Comment(null);
        var (header, fields) = HeaderSynthesis.Make(facts, runs.Runs, choice, comment, options.Kind, (ulong)bitmap.Length + (stored.Aggregate(0UL, (sum, run) => sum + run.PageCount) << Page.Shift), disagreements);

        var inDump = patches.Patches.Where(patch => runs.Runs.Any(run => patch.Address.Frame - run.BasePage < run.PageCount)).ToList();
        foreach (var lost in patches.Patches.Except(inDump).Select(patch => patch.Reason).Distinct())
            gaps.Add($"{lost} lies outside the dump's memory runs");
        return new DumpPlan(facts.View, header, runs.Runs, inDump, stored, bitmap, FilledMemory.Over(exclusion is null ? facts.View.Memory : new MarkedMemory(facts.View.Memory, exclusion.Pages), runs.Filled))
        {
            Wanted = runs.Wanted,
            Kind = options.Kind,
            Held = held,
            CommentWith = Comment,
            LeftOut = selection.LeftOut,
            Excluded = exclusion?.Processes ?? [],
            ExcludedPages = excluded,
            Fields = fields,
            Processors = processors,
            Notes = notes,
            Disagreements = disagreements,
            Gaps = gaps,
        };
    }

    /// <summary>The user's words, or where the memory came from. Of a guest that ran it begins with how much it changed, which nothing behind it may cut off.</summary>
    internal static string CommentOf(View view, DumpOptions options, string? closing)
    {
        var origin = options.Comment ?? $"Forengate: {view.Origin.Format} {view.Origin.Target}";
        return closing is not null ? $"{closing}; {origin}" : view.Memory.MayChange ? $"smeared; {origin}" : origin;
    }

    private static OverlayMemory Over(PhysicalMemory below, IReadOnlyList<DumpPatch> patches)
    {
        var memory = new OverlayMemory(below);
        foreach (var patch in patches)
        {
            if (!memory.TryWrite(patch.Address, patch.Bytes.Span))
                throw new ArgumentException($"nothing to patch at {patch.Address} ({patch.Reason})", nameof(patches));
        }
        return memory;
    }

    private static PageSelection Select(DumpFacts facts, DumpKind kind, IReadOnlyList<CrashDumpRun> held, IReadOnlyList<DumpPatch> patches, List<string> notes, CancellationToken ct)
    {
        // Whatever Windows says of them: what we put in ourselves would be lost.
        HashSet<ulong> needed = [.. patches.Select(patch => patch.Address.Frame), facts.Kernel.DirectoryTableBase.Frame];
        switch (kind)
        {
            case DumpKind.Active:
                var (database, why) = facts.PageFrames(ct);
                if (database?.Evidence is { } evidence)
                    notes.Add(evidence);
                return database is not null
                    ? PageSelection.Active(held, database, needed)
                    : throw new DumpWriteException($"no dump of active memory can be made: {why}; write --type bitmap, or give the kernel's symbols by --symbols");
            case DumpKind.Small:
                return new PageSelection([], []);
            case DumpKind.Kernel:
                return PageSelection.Of(held, KernelPages.Find(facts, ct), needed, "user or unused");
            default:
                return new PageSelection(held, []);
        }
    }

    private static void PatchDebuggerBlock(DumpFacts facts, PatchList patches, List<string> gaps)
    {
        if (facts.Kdbg is not { } kdbg)
        {
            gaps.Add("KDBG was not found: a debugger will say that KdDebuggerDataBlock is not present, and find no processor");
            return;
        }
        if (kdbg.Encoded && !patches.TryAdd(kdbg.Address, kdbg.Bytes, "KDBG, decoded"))
            gaps.Add($"KDBG at {kdbg.Address} could not be replaced by its decoded form: part of it leads to no memory");
        if (kdbg.FlagAddress is not { } flag)
        {
            if (kdbg.Encoded)
                gaps.Add("KdpDataBlockEncoded is not known for this kernel: a debugger with symbols may decode the plain block again");
            return;
        }
        if (facts.Kernel.TryRead(flag, out byte set) && set != 0)
            patches.TryAdd(flag, new byte[1], "KdpDataBlockEncoded, cleared");
    }

    private static void CompareProcessors(DumpFacts facts, List<string> disagreements)
    {
        var (vcpus, processors) = (facts.View.Cpus.Count, facts.Processors.Count);
        if (vcpus != 0 && vcpus != processors)
            disagreements.Add($"the hypervisor has {vcpus} vCPUs, Windows runs {processors} processors: the header has Windows' number");
        var matched = facts.Processors.Select(processor => processor.Cpu?.Index).ToHashSet();
        foreach (var cpu in facts.View.Cpus.Where(cpu => !matched.Contains(cpu.Index)).Take(8))
            disagreements.Add($"vCPU {cpu.Index} {(facts.OutsideCpus.Contains(cpu.Index) ? "stands outside of Windows, in the hypervisor or the secure kernel" : "is no processor of Windows by its GS bases")}: its registers are not in the dump");
    }
}
