using System.Globalization;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>A process whose own pages are overwritten in a dump.</summary>
/// <param name="Id">PID.</param>
/// <param name="Name">File name of its image.</param>
public readonly record struct ExcludedProcess(ulong Id, string Name)
{
    public override string ToString() => $"{Name} ({Id})";
}

/// <summary>
/// The pages of named processes that no other has: what their user halves map, pages in transition among it, without what another process's user half or the kernel's half maps too. Only page tables
/// say so: what the process left on free lists, in files' pages that it does not map any more, in pool or in registers is not found this way.
/// </summary>
/// <param name="Processes">In the order of Windows' list.</param>
/// <param name="Pages">Their page frames.</param>
internal sealed record Exclusion(IReadOnlyList<ExcludedProcess> Processes, PageSet Pages)
{
    /// <summary>Processes named in a comment; of more it says how many.</summary>
    private const int Named = 4;

    /// <param name="facts">The system.</param>
    /// <param name="names">File names, in any case, and PIDs.</param>
    /// <param name="ct">Ends the walk through page tables.</param>
    /// <exception cref="DumpWriteException">One of them is no process of the guest: nothing is written rather than what was not to be.</exception>
    public static Exclusion Find(DumpFacts facts, IReadOnlyList<string> names, CancellationToken ct)
    {
        var all = facts.Processes(ct);
        var chosen = new HashSet<ProcessTables>(ReferenceEqualityComparer.Instance);
        foreach (var name in names)
        {
            var found = all.Where(process => Is(process, name)).ToList();
            if (found.Count == 0)
                throw new DumpWriteException($"--exclude: no process of the guest is '{name}': forengate processes lists them");
            chosen.UnionWith(found);
        }
        var survey = new PageTableSurvey(facts.View.Memory, facts.Kernel.Levels, ct);
        var (own, shared) = (new PageSet(survey.Frames), new PageSet(survey.Frames));
        var roots = new HashSet<ulong>();
        foreach (var root in all.Where(chosen.Contains).SelectMany(process => process.Roots))
        {
            survey.Add(root, own);
            roots.Add(root);
        }
        // A processor may run in a process that is in no list; the tables of those that are excluded are known.
        var processors = facts.View.Cpus.Where(cpu => cpu.Cr3.HasValue).Select(cpu => cpu.Cr3!.Value & PageTableEntry.AddressMask);
        foreach (var root in all.Where(process => !chosen.Contains(process)).SelectMany(process => process.Roots).Append(facts.Kernel.DirectoryTableBase.Value).Concat(processors))
        {
            if (!roots.Contains(root))
                survey.Add(root, shared);
        }
        own.Remove(shared);
        own.Remove(survey.Kernel);
        own.Remove(survey.Tables);
        return new Exclusion([.. all.Where(chosen.Contains).Select(process => new ExcludedProcess(process.Id, process.Name))], own);
    }

    /// <summary>For the dump's comment, behind whatever else is in it: this must not be what is cut off.</summary>
    /// <param name="comment">What would be the comment.</param>
    /// <param name="pages">Pages overwritten.</param>
    public string Record(string comment, ulong pages)
    {
        const int Most = CrashDumpLayout64.CommentSize - 1;
        const string Between = "; ";
        var names = string.Join(", ", Processes.Take(Named)) + (Processes.Count > Named ? $" and {Processes.Count - Named} more" : "");
        var record = $"excluded: {names}, {pages} pages";
        if (record.Length > Most)
            record = $"excluded: {Processes.Count} processes, {pages} pages";
        var left = Most - record.Length - Between.Length;
        return left <= 0 || comment.Length == 0 ? record : comment[..Math.Min(comment.Length, left)] + Between + record;
    }

    private static bool Is(ProcessTables process, string name) =>
        ulong.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? process.Id == id : process.Name.Equals(name, StringComparison.OrdinalIgnoreCase);
}
