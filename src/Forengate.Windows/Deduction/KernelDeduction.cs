using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>A kernel's layout, found in its own memory.</summary>
/// <param name="Profile">What was accepted.</param>
/// <param name="Accepted">Each field, size and global accepted, with its evidence.</param>
/// <param name="Refused">What was not accepted, with the reason.</param>
/// <param name="Nearest">The known layout that agrees with all that was deduced, and filled in what was not; null where there is none.</param>
internal sealed record DeducedKernel(KernelProfile Profile, IReadOnlyList<Fact> Accepted, IReadOnlyList<Fact> Refused, LayoutHypothesis? Nearest)
{
    /// <summary>A profile that was there for this kernel and did not pass; null where there was none.</summary>
    public KernelProfile? Unfit { get; init; }
}

/// <summary>
/// Finds where a kernel of an unknown build keeps its globals and fields, by what must hold in any Windows: exports, KDBG, lists that close and point back, tables that map the kernel, objects that
/// name each other. docs/deduction.md says for each field by which invariants.
/// </summary>
internal static class KernelDeduction
{
    /// <summary>Deduces.</summary>
    /// <param name="memory">The guest's memory.</param>
    /// <param name="candidate">The kernel image and a page table through which it is seen.</param>
    /// <param name="profiles">Known builds, for hypotheses only.</param>
    /// <param name="limits">Bounds.</param>
    /// <param name="reason">Where null is returned: why, in one line.</param>
    /// <param name="ct">Ends the work by an <see cref="OperationCanceledException"/>.</param>
    public static DeducedKernel? Run(PhysicalMemory memory, KernelCandidate candidate, ProfileStore profiles, WindowsLimits limits, out string reason, CancellationToken ct)
    {
        var (space, image) = (candidate.Space, candidate.Image);
        var data = KernelData.Read(space, image, ct);
        if (data.Image is null)
        {
            reason = "the kernel image's header does not parse";
            return null;
        }
        var ledger = new DeductionLedger(image.Base);
        var globals = new GlobalsDeduction(space, image, data, ledger, limits, ct);
        globals.Run();
        var debugger = globals.Debugger;
        var shared = PublicLayouts.TakeSharedData(space, ledger);
        PublicLayouts.TakeMemoryBlock(space, ledger, limits);
        if (ProcessCensus.Take(space, debugger, ledger, limits, out reason, ct) is not { } census)
            return null;

        var tables = new TableDeduction(census, memory, image, debugger, ledger);
        tables.FindKernelTable();
        var threads = new ThreadDeduction(census, debugger, ledger, ct);
        threads.Run();
        var identity = new IdentityDeduction(census, threads, debugger, shared, ledger);
        identity.FindIds();
        identity.FindNames();
        identity.FindTimes();
        identity.FindThreadCount();
        var build = ledger.AddressOf(KernelGlobal.NtBuildNumber) is { } number && space.TryRead(number, out uint raw) ? raw & 0xFFFF : 0;
        var user = new UserDeduction(census, debugger, shared, build, ledger);
        user.FindPebs();
        user.FindWow64();
        user.FindSession();
        tables.FindUserTable();
        identity.FindKernelPart();
        new ProcessorDeduction(space, debugger, ledger, limits).Run();
        new DriverDeduction(space, image, ledger, limits, ct).Run();

        var isExact = Version.TryParse(FileVersion.Read(space, image, ct), out var resource);
        var version = isExact ? resource! : new Version((int)(shared?.Major ?? 0), (int)(shared?.Minor ?? 0), (int)build, 0);
        var nearest = NearestBuild.Fill(profiles, ledger, version, isExact, image);
        var origin = nearest is { IsWhole: false } && nearest.Version == version ? $"{nearest.Name}, globals deduced, the layout held against memory" : "deduced from the kernel's own memory";
        var profile = new KernelProfile(image.CodeView, version, origin, ledger.Table, isDeduced: true);
        if (KernelLayouts.Resolve(profile, out var missing) is null)
        {
            var why = string.Join("; ", ledger.Refused.Take(4).Select(static fact => $"{fact.Name}: {fact.How}"));
            reason = $"deduction did not find {missing}{(why.Length == 0 ? "" : $" ({why})")}";
            return null;
        }
        reason = "";
        return new DeducedKernel(profile, ledger.Accepted, ledger.Refused, nearest);
    }
}
