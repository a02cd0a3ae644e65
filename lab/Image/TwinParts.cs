using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>The finished parts of an image that the note tells of.</summary>
internal sealed record TwinParts(
    KernelTables Tables, AddressSpace System, KernelImage Kernel, KernelPool Pool, SystemPtes Ptes, Kdbg Kdbg, SharedUserData Shared, IReadOnlyList<PhysicalRun> Runs, ulong PfnDatabase, int Cpus);
