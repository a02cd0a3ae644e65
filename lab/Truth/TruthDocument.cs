using System.Text.Json.Serialization;

namespace Forengate.Lab.Truth;

/// <summary>All that is true of a twin, as <c>truth.json</c> says it. Times are UTC.</summary>
internal sealed record TruthDocument
{
    public required TruthOptions Options { get; init; }
    public required TruthBuild Build { get; init; }
    public required TruthMemory Memory { get; init; }
    public required TruthPaging Paging { get; init; }
    public required TruthPageFrames PageFrames { get; init; }
    public required TruthKernel Kernel { get; init; }
    public required TruthKdbg Kdbg { get; init; }
    public required TruthTimes Times { get; init; }
    public required TruthBugcheck? Bugcheck { get; init; }
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public TruthNote? Note { get; init; }
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public TruthHot? Hot { get; init; }
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public TruthGrowth? Growth { get; init; }
    public required IReadOnlyList<TruthCpu> Cpus { get; init; }
    public required IReadOnlyList<TruthGlobal> Globals { get; init; }
    public required IReadOnlyList<TruthDriver> Drivers { get; init; }
    public required IReadOnlyList<TruthProcess> Processes { get; init; }
    public required IReadOnlyList<TruthCommand> Commands { get; init; }
    public required IReadOnlyList<TruthTranslation> Translations { get; init; }
    /// <summary>Every structure the image was laid out by, with the fields that were looked up, where they lie in this twin.</summary>
    public required IReadOnlyDictionary<string, TruthLayout> Layouts { get; init; }
    /// <summary>RVA of every global and function that was looked up, where it lies in this twin.</summary>
    public required IReadOnlyDictionary<string, Hex> Symbols { get; init; }
}

internal sealed record TruthOptions(
    string Build, ulong Seed, ulong MemorySize, ulong LowSize, int Cpus, string CpuModes, int Processes, int Threads, int Drivers, bool KvaShadow, bool KdbgEncoded, int HiddenProcesses,
    int HiddenDrivers, int ExitedProcesses, int SpareProcesses, int FillPercent, ulong? Shuffle, bool HideBuild);

internal sealed record TruthBuild(
    string Version, int Major, int Minor, int Number, string Lab, string LabEx, string PdbGuid, uint PdbAge, string PdbName, Hex Timestamp, uint ProductType, uint SuiteMask);

internal sealed record TruthRun(Hex FirstPage, ulong Pages);

internal sealed record TruthMemory(ulong Size, ulong LowSize, IReadOnlyList<TruthRun> Runs, Hex DescriptorVa, ulong NumberOfPages, Hex PfnDatabase);

internal sealed record TruthPaging(Hex SystemDtb, Hex SystemPml4, int SelfMapIndex, Hex PteBase, bool KvaShadow, Hex LowStub, int Levels);

/// <summary>The page-frame database; <c>File</c>, beside truth.json, has one byte for each page from guest-physical 0 on (docs/lab.md).</summary>
internal sealed record TruthPageFrames(Hex Database, int EntrySize, string File, IReadOnlyDictionary<string, int> Pages);

internal sealed record TruthSection(string Name, Hex Rva, Hex Size, bool Discarded);

internal sealed record TruthKernel(Hex Base, Hex Size, Hex EntryPoint, Hex PoolStart, Hex PoolEnd, byte? ObjectHeaderCookie, int ProcessHeaderSize, IReadOnlyList<TruthSection> Sections);

internal sealed record TruthKdbg(Hex Va, Hex Pa, int Size, bool Encoded, Hex WaitNever, Hex WaitAlways, Hex FlagVa, string Decoded);

internal sealed record TruthTimes(
    DateTime SystemTime, Hex SystemTimeRaw, DateTime BootTime, double UpTimeSeconds, Hex InterruptTimeRaw, uint? BootId, uint Cookie, Hex SharedUserDataVa, Hex SharedUserDataPa);

internal sealed record TruthBugcheck(Hex Code, IReadOnlyList<Hex> Parameters);

/// <summary>What a driver left for QEMU's win-dmp: the note's guest-physical address, bytes and kernel address, and the kernel address of its decoded debugger block.</summary>
internal sealed record TruthNote(Hex Address, uint Size, Hex Va, Hex DebuggerBlock);

/// <summary>The hot area: its pages in order of their kernel addresses, as runs of guest-physical ones. CounterPa is where the rising counter lies.</summary>
internal sealed record TruthHot(Hex Va, int Pages, IReadOnlyList<TruthRun> Runs, Hex CounterVa, Hex CounterPa);

/// <summary>Memory that Windows takes into use at a command, where a machine has it: its runs, the new MmPhysicalMemoryBlock, and pages of it that then begin with the mark and their own address.</summary>
internal sealed record TruthGrowth(int Command, IReadOnlyList<TruthRun> Runs, Hex DescriptorVa, Hex Mark, IReadOnlyList<TruthGrownPage> Pages);

internal sealed record TruthGrownPage(Hex Va, Hex Pa);

internal sealed record TruthRegisters(
    Hex Cr0, Hex Cr3, Hex Cr4, Hex Cr8, Hex Efer, Hex GdtBase, Hex GdtLimit, Hex IdtBase, Hex IdtLimit, Hex TrSelector, Hex LdtSelector, Hex GsBase, Hex KernelGsBase, Hex FsBase, Hex Star, Hex LStar, Hex CStar,
    Hex SfMask, Hex Rip, Hex Rsp, Hex Rflags, Hex Cs, Hex Ss, Hex Ds, Hex Es, Hex Fs, Hex Gs, Hex R12, Hex R13, Hex R14, Hex R15, string Xmm6To9);

internal sealed record TruthCpu(
    int Index, string Mode, Hex Kpcr, Hex KpcrPa, Hex Prcb, Hex PrcbPa, Hex Context, Hex ContextPa, Hex ContextFrame, Hex SpecialRegisters, Hex Gdt, Hex Idt, Hex Tss, Hex CurrentThread, Hex IdleThread,
    Hex CurrentProcess, uint CurrentPid, Hex KernelStack, Hex KernelCr3, TruthRegisters Registers);

internal sealed record TruthGlobal(string Name, Hex Rva, Hex Va, Hex Pa, Hex Value);

internal sealed record TruthDriver(string Name, string Path, Hex Base, Hex Size, Hex EntryPoint, Hex EntryVa, bool Hidden, Hex Timestamp, string PdbGuid);

internal sealed record TruthThread(uint Tid, Hex Ethread, Hex EthreadPa, Hex Teb, Hex StackBase, Hex StackLimit, Hex StartAddress, Hex Win32StartAddress, DateTime? CreateTime, DateTime? ExitTime, int State);

internal sealed record TruthProcess(
    uint Pid, uint ParentPid, string Name, string ShortName, string Path, string NativePath, string CommandLine, string State, bool Listed, DateTime? CreateTime, DateTime? ExitTime, Hex ExitStatus, uint? Session, bool Wow64,
    int ActiveThreads, Hex Eprocess, Hex EprocessPa, Hex Dtb, Hex UserDtb, Hex Peb, Hex Wow64Peb, Hex ImageBase, IReadOnlyList<TruthThread> Threads);

internal sealed record TruthCommand(int Index, string Action, uint Pid, string Name, DateTime? ExitTime);

/// <summary>What a walk from a table gives for an address: a physical address and the size of the page it lies in, or nothing.</summary>
internal sealed record TruthTranslation(Hex Root, Hex Va, Hex? Pa, Hex? PageSize);

internal sealed record TruthLayout(Hex Size, IReadOnlyDictionary<string, TruthField> Fields);

/// <summary>A field's place in bytes; of a bit field that of its storage unit, and its bits in it.</summary>
/// <param name="Type">Structure the field (or each element of the array) is.</param>
internal sealed record TruthField(
    Hex Offset, Hex Size, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Type, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Count,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Bit, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Bits);
