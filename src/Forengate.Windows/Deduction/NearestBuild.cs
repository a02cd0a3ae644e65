using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// Known layouts as hypotheses. None is believed for its number. The layout that is published for this very version, or for this very file, is held against every field that was deduced: where it
/// contradicts one it is refused and the contradiction named; where it does not it tells all that memory does not show. Of other builds only those whose layout agrees with everything deduced may say
/// where the few fields lie that dumps and lists ask for and memory does not show (a field that is zero in all processes, say), and only with one voice.
/// </summary>
internal static class NearestBuild
{
    /// <summary>Fields deduced in the same structure before the build is asked for another of it.</summary>
    private const int MinAgreeing = 4;

    /// <summary>What this room asks for and memory may not show.</summary>
    private static readonly KernelField[] s_fields =
    [
        KernelField.KPROCESS_ProfileListHead, KernelField.KPROCESS_UserDirectoryTableBase, KernelField.EPROCESS_Wow64Process, KernelField.EPROCESS_Session, KernelField.EPROCESS_ExitTime,
        KernelField.EPROCESS_CreateTime, KernelField.EPROCESS_ActiveThreads, KernelField.EPROCESS_SeAuditProcessCreationInfo, KernelField.EPROCESS_InheritedFromUniqueProcessId,
        KernelField.EPROCESS_Peb, KernelField.EPROCESS_ThreadListHead, KernelField.KPROCESS_ThreadListHead,
    ];

    /// <summary>Fills in what the hypotheses that hold can tell.</summary>
    /// <param name="profiles">Where known builds and layouts are.</param>
    /// <param name="ledger">What was deduced; takes what is added.</param>
    /// <param name="version">File version of the kernel, as far as it is known.</param>
    /// <param name="isExact">Whether it is the file's own: without the version resource the revision is not known, and many builds share the rest.</param>
    /// <param name="image">The kernel's image.</param>
    /// <returns>The layout that was used; null where none agrees or nothing was missing.</returns>
    public static LayoutHypothesis? Fill(ProfileStore profiles, DeductionLedger ledger, Version version, bool isExact, KernelImage image)
    {
        var deduced = ledger.Fields.Where(static pair => IsPrivate(pair.Key)).ToList();
        if (deduced.Count < MinAgreeing)
            return null;
        var layouts = profiles.Layouts.Where(static layout => layout.Machine == VersionLayout.MachineX64).ToList();
        LayoutHypothesis? own = null;
        foreach (var layout in layouts.Where(layout => IsOf(layout, isExact ? version : null, image)))
        {
            if (FillOwn(LayoutHypothesis.Of(layout), ledger, deduced))
                own ??= LayoutHypothesis.Of(layout);
        }
        return own ?? FillNearest(
            profiles.Profiles.Select(LayoutHypothesis.Of).Concat(layouts.Where(layout => !IsOf(layout, isExact ? version : null, image)).Select(LayoutHypothesis.Of)), ledger, deduced, version);
    }

    private static bool IsOf(VersionLayout layout, Version? version, KernelImage image) =>
        layout.Timestamp != 0 ? layout.Timestamp == image.TimeDateStamp && layout.ImageSize == image.Size : layout.Version == version;

    /// <summary>The layout of this very build, if it is true: then every field of it that memory left open.</summary>
    private static bool FillOwn(LayoutHypothesis own, DeductionLedger ledger, List<KeyValuePair<KernelField, int>> deduced)
    {
        if (own.AgreesOn(ledger, deduced) is not { } agreed)
        {
            ledger.Refuse(own.Name, $"it contradicts memory, so that nothing is taken from it: {own.Disagreement(ledger, deduced)}");
            return false;
        }
        if (agreed < MinAgreeing)
        {
            ledger.Refuse(own.Name, $"only {agreed} of its fields are seen in memory, too few to believe the others");
            return false;
        }
        var how = $"{own.Name}, which says the same of all {agreed} private fields deduced that it has";
        var added = 0;
        for (var i = 0; i < KernelSchema.Fields.Length; i++)
        {
            var field = (KernelField)i;
            if (ledger.OffsetOf(field) is not null || own.OffsetOf(field) is not { } offset || ledger.IsContradicted(field, offset))
                continue;
            ledger.Add(field, offset, how, isListed: s_fields.Contains(field));
            added++;
        }
        for (var i = 0; i < KernelSchema.Structs.Length; i++)
        {
            var type = (KernelStruct)i;
            if (ledger.Table.SizeOf(type) is null && own.SizeOf(type) is { } size)
                ledger.Add(type, size);
        }
        ledger.Note(own.Name, $"{agreed} fields agree, {added} added", "held against every private field that memory shows; what it adds memory does not show");
        return true;
    }

    /// <summary>Other builds that agree with everything: only what they say with one voice.</summary>
    private static LayoutHypothesis? FillNearest(IEnumerable<LayoutHypothesis> others, DeductionLedger ledger, List<KeyValuePair<KernelField, int>> deduced, Version version)
    {
        var nearest = others.Where(other => other.AgreesOn(ledger, deduced) >= MinAgreeing).OrderBy(other => Distance(other.Version, version)).ToList();
        if (nearest is not [var first, ..])
            return null;
        var filled = false;
        foreach (var field in s_fields)
        {
            if (ledger.OffsetOf(field) is not null || nearest.Select(other => other.OffsetOf(field)).FirstOrDefault(static said => said is not null) is not { } offset || ledger.IsContradicted(field, offset))
                continue;
            // All that agree must say the same: where they do not, memory would have to decide, and it did not.
            if (nearest.TrueForAll(other => other.OffsetOf(field) is { } said ? said == offset : !other.IsWhole))
            {
                ledger.Accept(field, offset, $"as in {first.Name} and {nearest.Count - 1} more, whose layouts agree with all {deduced.Count} private fields deduced; memory does not show it");
                filled = true;
            }
        }
        if (ledger.Table.SizeOf(KernelStruct.KPROCESS) is null && first.SizeOf(KernelStruct.KPROCESS) is { } size
            && nearest.TrueForAll(other => other.SizeOf(KernelStruct.KPROCESS) is { } said ? said == size : !other.IsWhole))
            ledger.Accept(KernelStruct.KPROCESS, size, $"as in {first.Name}, whose layout agrees");
        return filled ? first : null;
    }

    /// <summary>Fields of structures that differ from build to build: only these tell builds apart.</summary>
    private static bool IsPrivate(KernelField field) =>
        KernelSchema.Fields[(int)field].Struct is KernelStruct.EPROCESS or KernelStruct.KPROCESS or KernelStruct.ETHREAD or KernelStruct.KTHREAD or KernelStruct.KPRCB or KernelStruct.KPROCESSOR_STATE;

    private static long Distance(Version one, Version other) =>
        (Math.Abs((long)one.Major - other.Major) << 48) + (Math.Abs((long)one.Build - other.Build) << 20) + Math.Abs((long)one.Revision - other.Revision);
}
