using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Forengate.Testing.Twins;

/// <summary>What is true of a twin, read from its <c>truth.json</c>; only what tests ask for. Numbers are plain, times UTC.</summary>
public sealed record TwinTruth(
    TrueBuild Build, TrueMemory Memory, TruePaging Paging, TrueKernel Kernel, TrueKdbg Kdbg, TrueTimes Times, IReadOnlyList<TrueCpu> Cpus, IReadOnlyList<TrueGlobal> Globals,
    IReadOnlyList<TrueDriver> Drivers, IReadOnlyList<TrueProcess> Processes, IReadOnlyList<TrueCommand> Commands, IReadOnlyList<TrueTranslation> Translations,
    TrueNote? Note = null, TrueGrowth? Growth = null)
{
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase, Converters = { new NumberConverter() } };

    public static TwinTruth Read(string folder) => JsonSerializer.Deserialize<TwinTruth>(File.ReadAllBytes(Path.Combine(folder, "truth.json")), Json)!;

    public ulong Global(string name) => Globals.Single(global => global.Name == name).Va;

    /// <summary>Numbers of the file are JSON numbers or strings "0x…".</summary>
    private sealed class NumberConverter : JsonConverter<ulong>
    {
        public override ulong Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType == JsonTokenType.Number
            ? reader.GetUInt64()
            : ulong.Parse(reader.GetString()!.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

        public override void Write(Utf8JsonWriter writer, ulong value, JsonSerializerOptions options) => throw new NotSupportedException();
    }
}

public sealed record TrueBuild(string Version, int Major, int Minor, int Number, string Lab, string LabEx, string PdbGuid, uint PdbAge, string PdbName, ulong Timestamp, uint ProductType, uint SuiteMask);

public sealed record TrueRun(ulong FirstPage, ulong Pages);

public sealed record TrueMemory(ulong Size, ulong LowSize, IReadOnlyList<TrueRun> Runs, ulong PfnDatabase);

public sealed record TruePaging(ulong SystemDtb, ulong SystemPml4, int SelfMapIndex, bool KvaShadow, int Levels = 4);

public sealed record TrueKernel(ulong Base, ulong Size, ulong EntryPoint);

public sealed record TrueKdbg(ulong Va, ulong Pa, int Size, bool Encoded, ulong FlagVa, string Decoded);

public sealed record TrueTimes(DateTime SystemTime, ulong SystemTimeRaw, double UpTimeSeconds, ulong InterruptTimeRaw, uint? BootId);

public sealed record TrueCpu(
    int Index, string Mode, ulong Kpcr, ulong Prcb, ulong Context, ulong ContextPa, ulong ContextFrame, ulong SpecialRegisters, ulong CurrentThread, ulong CurrentProcess, uint CurrentPid, TrueRegisters Registers);

public sealed record TrueRegisters(ulong Cr3, ulong GsBase, ulong KernelGsBase, ulong Star, ulong LStar, ulong R12, ulong R13, ulong R14, ulong R15, string Xmm6To9);

public sealed record TrueGlobal(string Name, ulong Va, ulong Pa, ulong Value);

public sealed record TrueDriver(string Name, string Path, ulong Base, ulong Size, ulong EntryPoint, ulong EntryVa, bool Hidden, ulong Timestamp, string PdbGuid);

public sealed record TrueProcess(
    uint Pid, uint ParentPid, string Name, string ShortName, string Path, string NativePath, string CommandLine, string State, bool Listed, DateTime? CreateTime, DateTime? ExitTime, uint? Session, bool Wow64,
    int ActiveThreads, ulong Eprocess, ulong EprocessPa, ulong Dtb, ulong UserDtb, ulong Peb);

public sealed record TrueCommand(int Index, string Action, uint Pid, string Name, DateTime? ExitTime);

public sealed record TrueTranslation(ulong Root, ulong Va, ulong? Pa, ulong? PageSize);

public sealed record TrueGrowth(int Command, IReadOnlyList<TrueRun> Runs, ulong DescriptorVa, ulong Mark, IReadOnlyList<TrueGrownPage> Pages);

public sealed record TrueGrownPage(ulong Va, ulong Pa);

public sealed record TrueNote(ulong Address, uint Size, ulong Va, ulong DebuggerBlock);
