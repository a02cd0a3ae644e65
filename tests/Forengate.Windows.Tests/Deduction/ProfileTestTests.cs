using Forengate.Symbols;

namespace Forengate.Windows.Tests;

/// <summary>The self-test: passes on true profiles, sees each wrong field, and a profile that fails is not used where memory tells better.</summary>
public sealed class ProfileTestTests
{
    private const string Options = "--build 19041 --seed 61 --memory 128 --cpus 3 --cpu-modes mixed --exited 6 --processes 60";

    /// <summary>Fields no check can see: nothing in memory depends on them, or a wrong place looks the same.</summary>
    private static readonly KernelField[] s_unseen =
    [
        // Left out of the twin, or another of several zeros.
        KernelField.KPROCESS_UserDirectoryTableBase, KernelField.EPROCESS_Wow64Process, KernelField.EPROCESS_Session, KernelField.MM_SESSION_SPACE_SessionId,
    ];

    public static TheoryData<KernelField> Fields =>
    [
        .. ((KernelField[])
        [
            KernelField.DISPATCHER_HEADER_WaitListHead, KernelField.KPROCESS_ProfileListHead, KernelField.KPROCESS_DirectoryTableBase, KernelField.KPROCESS_ThreadListHead,
            KernelField.EPROCESS_UniqueProcessId, KernelField.EPROCESS_ActiveProcessLinks, KernelField.EPROCESS_InheritedFromUniqueProcessId, KernelField.EPROCESS_ImageFileName,
            KernelField.EPROCESS_SeAuditProcessCreationInfo, KernelField.EPROCESS_Peb, KernelField.EPROCESS_CreateTime, KernelField.EPROCESS_ExitTime, KernelField.EPROCESS_ActiveThreads,
            KernelField.EPROCESS_ThreadListHead, KernelField.PEB_ProcessParameters, KernelField.RTL_USER_PROCESS_PARAMETERS_CommandLine, KernelField.KTHREAD_Process, KernelField.KTHREAD_ApcState,
            KernelField.KTHREAD_ThreadListEntry, KernelField.KPCR_Self, KernelField.KPCR_Prcb, KernelField.KPRCB_Number, KernelField.KPRCB_CurrentThread, KernelField.KPRCB_ProcessorState,
            KernelField.KPROCESSOR_STATE_SpecialRegisters, KernelField.KPROCESSOR_STATE_ContextFrame, KernelField.KPRCB_Context, KernelField.KLDR_DATA_TABLE_ENTRY_InLoadOrderLinks,
            KernelField.KLDR_DATA_TABLE_ENTRY_DllBase, KernelField.KLDR_DATA_TABLE_ENTRY_EntryPoint, KernelField.KLDR_DATA_TABLE_ENTRY_SizeOfImage, KernelField.KLDR_DATA_TABLE_ENTRY_FullDllName,
            KernelField.KLDR_DATA_TABLE_ENTRY_BaseDllName, KernelField.KUSER_SHARED_DATA_SystemTime, KernelField.KUSER_SHARED_DATA_NtSystemRoot, KernelField.KUSER_SHARED_DATA_NtMajorVersion,
            KernelField.KUSER_SHARED_DATA_NtBuildNumber, KernelField.KUSER_SHARED_DATA_NtProductType, KernelField.KUSER_SHARED_DATA_NumberOfPhysicalPages,
            KernelField.PHYSICAL_MEMORY_DESCRIPTOR_NumberOfRuns, KernelField.PHYSICAL_MEMORY_DESCRIPTOR_NumberOfPages, KernelField.PHYSICAL_MEMORY_DESCRIPTOR_Run,
        ]).Except(s_unseen),
    ];

    public static TheoryData<KernelGlobal> Globals =>
    [
        KernelGlobal.PsActiveProcessHead, KernelGlobal.PsLoadedModuleList, KernelGlobal.KdDebuggerDataBlock, KernelGlobal.KiProcessorBlock, KernelGlobal.KiBugCheckData,
        KernelGlobal.MmPhysicalMemoryBlock, KernelGlobal.NtBuildLab, KernelGlobal.KdVersionBlock, KernelGlobal.KeNumberProcessors, KernelGlobal.NtBuildNumber,
    ];

    [Fact]
    public void ATrueProfilePassesDozensOfChecks()
    {
        var twin = TwinImage.Of(Options);
        using var view = twin.Open();
        var proof = TwinTests.Find(view).Proof;
        Assert.True(proof.Holds);
        Assert.Equal(0, proof.Failed);
        Assert.InRange(proof.Applicable, 80, 200);
        Assert.Equal(proof.Checks.Count, proof.Checks.Select(check => check.Name).Distinct().Count());
    }

    /// <summary>One field eight bytes off, as a patch moves them: seen, or the kernel is refused at once.</summary>
    [Theory]
    [MemberData(nameof(Fields))]
    public void AMovedFieldIsSeen(KernelField field) => CheckSeen(table => table.Set(field, new FieldPlace(table.PlaceOf(field)!.Value.Offset + 8, 0, 0)));

    [Theory]
    [MemberData(nameof(Globals))]
    public void AMovedGlobalIsSeen(KernelGlobal global) => CheckSeen(table => table.Set(global, table.RvaOf(global)!.Value + 0x20));

    /// <summary>Layouts of another family under this kernel's GUID, as a wrong file among symbols would give.</summary>
    [Theory]
    [InlineData(17763)]
    [InlineData(22000)]
    public void AProfileThatDoesNotFitIsRefusedForADeducedOne(int other)
    {
        var twin = TwinImage.Of(Options);
        using var view = twin.Open();
        var (real, codeView) = TestProfiles.Of(19041);
        var wrong = TestProfiles.Of(other).Profile;
        var writer = new PackWriter();
        writer.Add(codeView.Guid, codeView.Age, real.Version, wrong.SizeOf, wrong.Field, real.RvaOf);
        var store = new ProfileStore([ProfilePack.Open("wrong pack", writer.ToBytes())]);
        var system = DeducedSystemTests.Find(view, store);
        Assert.True(system.Profile.IsDeduced);
        Assert.True(system.Proof.Holds);
        Assert.Contains(system.KernelFacts, fact => fact.Name == "profile refused" && fact.How.Contains("wrong pack", StringComparison.Ordinal));
        Assert.Empty(DeductionTruth.Judge(twin.Truth, real, system.Profile).Wrong);
    }

    private static void CheckSeen(Action<ProfileTable> spoil)
    {
        var twin = TwinImage.Of(Options);
        using var view = twin.Open();
        var (real, codeView) = TestProfiles.Of(19041);
        var table = new ProfileTable();
        foreach (var type in Enum.GetValues<KernelStruct>())
        {
            if (real.SizeOf(type) is { } size)
                table.Set(type, size);
        }
        foreach (var field in Enum.GetValues<KernelField>())
        {
            if (real.Field(field) is { } place)
                table.Set(field, place);
        }
        foreach (var global in Enum.GetValues<KernelGlobal>())
        {
            if (real.RvaOf(global) is { } rva)
                table.Set(global, rva);
        }
        spoil(table);
        var known = TwinTests.Find(view);
        var candidate = new KernelCandidate(known.Kernel, known.Image, "the truth", "the truth", "the truth");
        var (system, _, reason) = KernelOpening.Open(
            view, candidate, new KernelProfile(codeView, real.Version, "spoilt", table, isDeduced: false), WindowsLimits.Default, TestContext.Current.CancellationToken);
        Assert.True(system is null ? reason is not null : system.Proof.Failed > 0, $"{system?.Proof}");
    }
}
