using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>Plans a complete dump or a bitmap dump of a 32-bit system.</summary>
public static class X86DumpPlan
{
    /// <exception cref="DumpWriteException">A kind of dump that is not written for 32-bit systems.</exception>
    public static DumpPlan For(X86System system, DumpOptions? options = null)
    {
        options ??= DumpOptions.Default;
        if (options.Kind is not (DumpKind.Full or DumpKind.Bitmap))
            throw new DumpWriteException($"of 32-bit Windows no {options.Kind.ToString().ToLowerInvariant()} dumps are written, only complete and bitmap ones: leave --type out, or write --type bitmap");
        if (options.Exclude.Count > 0)
            throw new DumpWriteException("pages of processes are excluded from dumps of 64-bit Windows only: leave --exclude out");
        var view = system.View;
        var (gaps, disagreements) = (new List<string>(), new List<string>());
        var runs = RunPlan.Make(view.Memory.Ranges, system.PhysicalMemoryBlock, options.Kind, ballooned: RangeSets.Ballooned(view.Memory));
        gaps.AddRange(runs.Gaps);
        disagreements.AddRange(runs.Disagreements);

        var patches = new PatchList(system.Kernel);
        if (system.Kdbg is not { } kdbg)
        {
            gaps.Add("KDBG was not found: a debugger will find no processor and no version");
        }
        else if (kdbg.Encoded)
        {
            if (!patches.TryAdd(kdbg.Address, kdbg.Bytes, "KDBG, decoded"))
                gaps.Add($"KDBG at {kdbg.Address} could not be replaced by its decoded form: part of it leads to no memory");
            else
                gaps.Add("KdpDataBlockEncoded is not known for this kernel: a debugger with symbols may decode the plain block again");
        }

        byte[]? first = null;
        var source = "";
        var processors = new List<DumpedProcessor>();
        foreach (var processor in system.Processors)
        {
            var context = new byte[X86Context.Size];
            system.Kernel.TryRead(processor.Context, context);
            processors.Add(Patch(system, processor, context, patches, gaps));
            if (first is null)
                (first, source) = (context, $"processor {processor.Number}{(processor.Cpu is { } cpu ? $", vCPU {cpu.Index}" : ": its CONTEXT as memory holds it")}");
        }
        foreach (var cpu in view.Cpus.Where(cpu => !system.Processors.Any(processor => ReferenceEquals(processor.Cpu, cpu))))
            disagreements.Add($"vCPU {cpu.Index} is no processor of Windows by its GDT: its registers are not in the dump");

        if (options.BugCheck?.Difference(system.BugCheck, static value => (uint)value) is { } difference)
            disagreements.Add(difference);
        string Comment(string? closing) => DumpPlan.CommentOf(view, options, closing);
        var comment = Comment(null);
        var isBitmap = options.Kind == DumpKind.Bitmap;
        var stored = isBitmap ? PageBitmap.Readable(view.Memory, runs.Wanted) : runs.Runs;
        var bitmap = isBitmap ? PageBitmap.Make(CrashDumpLayout32.HeaderSize, runs.Runs, stored) : [];
        var behind = (ulong)bitmap.Length + (stored.Aggregate(0UL, static (sum, run) => sum + run.PageCount) << Page.Shift);
        var (header, fields) = X86HeaderSynthesis.Make(
            system, options, runs.Runs, behind, first ?? new byte[X86Context.Size], first is null ? "no processor was found" : source, comment);
        var inDump = patches.Patches.Where(patch => runs.Runs.Any(run => patch.Address.Frame - run.BasePage < run.PageCount)).ToList();
        foreach (var lost in patches.Patches.Except(inDump).Select(patch => patch.Reason).Distinct())
            gaps.Add($"{lost} lies outside the dump's memory runs");
        return new DumpPlan(view, header, runs.Runs, inDump, stored, bitmap, FilledMemory.Over(view.Memory, runs.Filled))
        {
            Wanted = runs.Wanted,
            Kind = options.Kind,
            Held = stored,
            CommentWith = Comment,
            Fields = fields,
            Processors = processors,
            Notes = runs.Notes,
            Disagreements = disagreements,
            Gaps = gaps,
        };
    }

    /// <summary>The vCPU's registers over what the processor's KPRCB holds, as a crash would have saved them; without a vCPU all stays as it is.</summary>
    private static DumpedProcessor Patch(X86System system, X86Processor processor, byte[] context, PatchList patches, List<string> gaps)
    {
        if (processor.Cpu is not { } cpu)
            return new DumpedProcessor(processor.Number, null, system.View.Cpus.Count == 0 ? "the view has no registers" : "no vCPU has its GDT", []);
        var written = new List<string>();
        X86Context.Write(cpu, context);
        foreach (var place in new[] { processor.Context, processor.SpecialRegisters - X86Context.Size }.Distinct())
        {
            if (patches.TryAdd(place, context, $"CONTEXT of processor {processor.Number}"))
                written.Add($"CONTEXT at {place}");
            else
                gaps.Add($"the CONTEXT of processor {processor.Number} at {place} leads to no memory: a debugger shows no registers of it");
        }
        var special = new byte[X86Context.SpecialSize];
        if (system.Kernel.TryRead(processor.SpecialRegisters, special))
        {
            X86Context.WriteSpecial(cpu, special);
            if (patches.TryAdd(processor.SpecialRegisters, special, $"special registers of processor {processor.Number}"))
                written.Add($"SpecialRegisters at {processor.SpecialRegisters}");
        }
        return new DumpedProcessor(processor.Number, cpu.Index, "its GDT", written);
    }
}
