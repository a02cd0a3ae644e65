using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// The nearest known build as a hypothesis. It is never believed for its number: only a build whose layout agrees with every field that was deduced from memory may say where those lie that memory
/// does not show (a field that is zero in all processes, say), and only in structures of which several fields were deduced.
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

    /// <summary>Fills in from the nearest build that agrees.</summary>
    /// <returns>That build; null where none agrees or nothing was missing.</returns>
    public static KernelProfile? Fill(ProfileStore profiles, DeductionLedger ledger, Version version)
    {
        var deduced = ledger.Fields.Where(static pair => IsPrivate(pair.Key)).ToList();
        var nearest = profiles.Profiles
            .Where(profile => deduced.TrueForAll(pair => profile.OffsetOf(pair.Key) == pair.Value) && Sizes(profile, ledger))
            .OrderBy(profile => Distance(profile.Version, version))
            .ToList();
        if (deduced.Count < MinAgreeing || nearest is not [var first, ..])
            return null;
        var filled = false;
        foreach (var field in s_fields)
        {
            if (ledger.OffsetOf(field) is not null || first.OffsetOf(field) is not { } offset)
                continue;
            // All builds that agree must say the same: where they do not, memory would have to decide, and it did not.
            if (nearest.TrueForAll(profile => profile.OffsetOf(field) == offset))
            {
                ledger.Accept(field, offset, $"as in {first} and {nearest.Count - 1} more known builds, whose layouts agree with all {deduced.Count} private fields deduced; memory does not show it");
                filled = true;
            }
        }
        if (ledger.Table.SizeOf(KernelStruct.KPROCESS) is null && first.SizeOf(KernelStruct.KPROCESS) is { } size && nearest.TrueForAll(profile => profile.SizeOf(KernelStruct.KPROCESS) == size))
            ledger.Accept(KernelStruct.KPROCESS, size, $"as in {first}, whose layout agrees");
        return filled ? first : null;
    }

    /// <summary>Fields of structures that differ from build to build: only these tell builds apart.</summary>
    private static bool IsPrivate(KernelField field) =>
        KernelSchema.Fields[(int)field].Struct is KernelStruct.EPROCESS or KernelStruct.KPROCESS or KernelStruct.ETHREAD or KernelStruct.KTHREAD or KernelStruct.KPRCB or KernelStruct.KPROCESSOR_STATE;

    private static bool Sizes(KernelProfile profile, DeductionLedger ledger) =>
        ((ReadOnlySpan<KernelStruct>)[KernelStruct.EPROCESS, KernelStruct.ETHREAD, KernelStruct.KPRCB]).ToArray()
            .All(type => ledger.Table.SizeOf(type) is not { } size || profile.SizeOf(type) == size);

    private static long Distance(Version one, Version other) =>
        (Math.Abs((long)one.Major - other.Major) << 48) + (Math.Abs((long)one.Build - other.Build) << 20) + Math.Abs((long)one.Revision - other.Revision);
}
