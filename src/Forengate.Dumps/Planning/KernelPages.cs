using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>
/// The pages of a kernel dump: what the kernel's half of any process's page tables maps, pages in transition among them, and the pages of page tables themselves, user ones too, so that
/// a debugger can say what is at a user address and that it is not in the dump. Not only System's tables: session space and hyperspace are each process's own.
/// </summary>
internal static class KernelPages
{
    public static PageSet Find(DumpFacts facts, CancellationToken ct)
    {
        var survey = new PageTableSurvey(facts.View.Memory, facts.Kernel.Levels, ct);
        survey.Add(facts.Kernel.DirectoryTableBase.Value);
        foreach (var process in facts.Processes(ct))
        {
            foreach (var root in process.Roots)
                survey.Add(root);
        }
        // A processor may run in a process that is hidden from the list, or ending.
        foreach (var cpu in facts.View.Cpus)
        {
            if (cpu.Cr3 is { } cr3)
                survey.Add(cr3);
        }
        survey.Kernel.Add(survey.Tables);
        return survey.Kernel;
    }
}
