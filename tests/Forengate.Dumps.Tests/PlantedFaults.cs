using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;
using L = Forengate.Memory.CrashDumpLayout64;

namespace Forengate.Dumps.Tests;

/// <summary>Who finds fault with a dump.</summary>
internal enum FoundFaulty
{
    /// <summary>Nobody: it is good, or carries filler where genuine dumps do.</summary>
    ByNone,

    /// <summary>The debugger engine says so, and check does.</summary>
    ByBoth,

    /// <summary>The engine shows something wrong, or less, without a word; check says so.</summary>
    ByCheckOnly,
}

/// <summary>Dumps with one fault each, for check and debugger engine alike.</summary>
/// <param name="Name">Short, fit for a file name, without words that the engine uses to complain.</param>
/// <param name="Found">Who finds fault with it.</param>
/// <param name="Write">Writes the dump.</param>
internal sealed record PlantedFaults(string Name, FoundFaulty Found, Action<string> Write)
{
    public static IReadOnlyList<PlantedFaults> All { get; } =
    [
        Good("good", new HandMadeGuest()),
        Good("good-encoded", new HandMadeGuest(8, encoded: true)),
        Good("no-registers", new HandMadeGuest(), guest => guest.Facts(withRegisters: false)),
        Header("filler-uptime", FoundFaulty.ByNone, header => Letters(header, L.SystemUpTime, 8)),
        Header("filler-product", FoundFaulty.ByNone, header => Letters(header, L.ProductType, 8)),
        Header("filler-attributes", FoundFaulty.ByNone, header => Letters(header, L.Attributes, 4)),
        Header("filler-minidump-fields", FoundFaulty.ByNone, header => Letters(header, L.MiniDumpFields, 4)),
        Header("filler-padding", FoundFaulty.ByNone, header => Letters(header, L.BugCheckPadding, 4)),
        Header("systemtime-zero", FoundFaulty.ByBoth, header => header.Slice(L.SystemTime, 8).Clear()),
        Header("systemtime-ones", FoundFaulty.ByBoth, header => header.Slice(L.SystemTime, 8).Fill(0xFF)),
        Header("kdbg-zero", FoundFaulty.ByBoth, header => header.Slice(L.KdDebuggerDataBlock, 8).Clear()),
        Header("minor-zero", FoundFaulty.ByBoth, header => header.Slice(L.MinorVersion, 4).Clear()),
        Header("exception-zero", FoundFaulty.ByBoth, header => header.Slice(L.ExceptionCode, 4).Clear()),
        Header("major-filler", FoundFaulty.ByBoth, header => Letters(header, L.MajorVersion, 4)),
        Header("pages-one-more", FoundFaulty.ByBoth, header => header[L.NumberOfPages]++),
        Header("filler-dtb", FoundFaulty.ByBoth, header => Letters(header, L.DirectoryTableBase, 8)),
        Header("filler-pfn", FoundFaulty.ByCheckOnly, header => Letters(header, L.PfnDataBase, 8)),
        Header("filler-modules", FoundFaulty.ByBoth, header => Letters(header, L.PsLoadedModuleList, 8)),
        Header("filler-processes", FoundFaulty.ByCheckOnly, header => Letters(header, L.PsActiveProcessHead, 8)),
        Header("filler-machine", FoundFaulty.ByBoth, header => Letters(header, L.MachineImageType, 4)),
        Header("filler-processors", FoundFaulty.ByBoth, header => Letters(header, L.NumberProcessors, 4)),
        Header("filler-bugcheck", FoundFaulty.ByCheckOnly, header => Letters(header, L.BugCheckCode, 4)),
        Header("filler-kdbg", FoundFaulty.ByBoth, header => Letters(header, L.KdDebuggerDataBlock, 8)),
        Header("filler-runs", FoundFaulty.ByBoth, header => Letters(header, L.NumberOfRuns, 4)),
        Header("filler-pages", FoundFaulty.ByBoth, header => Letters(header, L.NumberOfPages, 8)),
        Header("filler-context", FoundFaulty.ByCheckOnly, header => Letters(header, L.ContextRecord, 0x4D0)),
        Header("filler-exception", FoundFaulty.ByBoth, header => Letters(header, L.Exception, 0x98)),
        Header("filler-type", FoundFaulty.ByCheckOnly, header => Letters(header, L.DumpType, 4)),
        Header("filler-minor", FoundFaulty.ByCheckOnly, header => Letters(header, L.MinorVersion, 4)),
        Header("filler-systemtime", FoundFaulty.ByBoth, header => Letters(header, L.SystemTime, 8)),
        Header("wrong-dtb", FoundFaulty.ByBoth, header => header[L.DirectoryTableBase + 1] ^= 0x40),
        Header("dtb-beyond", FoundFaulty.ByBoth, header => header[L.DirectoryTableBase + 5] = 0x40),
        Header("one-processor-less", FoundFaulty.ByCheckOnly, header => header[L.NumberProcessors]--),
        Header("processors-too-many", FoundFaulty.ByBoth, header => header[L.NumberProcessors] += 3),
        Header("run-too-many", FoundFaulty.ByBoth, header => AddRun(header, new(0x2000, 0x10))),
        Header("runs-swapped", FoundFaulty.ByBoth, SwapRuns),
        Header("kdbg-elsewhere", FoundFaulty.ByBoth, header => header[L.KdDebuggerDataBlock + 1] ^= 0x10),
        Header("modules-elsewhere", FoundFaulty.ByBoth, header => header[L.PsLoadedModuleList + 1] ^= 0x10),
        Header("processes-elsewhere", FoundFaulty.ByCheckOnly, header => header[L.PsActiveProcessHead + 1] ^= 0x10),
        new("cut", FoundFaulty.ByBoth, path =>
        {
            Dump(new HandMadeGuest(), null, path);
            using var file = File.OpenWrite(path);
            file.SetLength(file.Length - 0x3000);
        }),
        new("kdbg-encoded", FoundFaulty.ByBoth, path => Dump(new HandMadeGuest(encoded: true), guest => guest.Facts() is var facts ? facts with { Kdbg = facts.Kdbg! with { Encoded = false } } : null!, path)),
        new("contexts-swapped", FoundFaulty.ByCheckOnly, path => Dump(new HandMadeGuest(4), guest => SwapCpus(guest.Facts(), alsoSpecial: false), path)),
        new("processors-swapped", FoundFaulty.ByCheckOnly, path => Dump(new HandMadeGuest(4), guest => SwapCpus(guest.Facts(), alsoSpecial: true), path)),
        Unmapped("gdt-gone", FoundFaulty.ByBoth, guest => HandMadeGuest.Kpcr(1) + 0x10000),
        Unmapped("gdt-of-first-gone", FoundFaulty.ByBoth, guest => HandMadeGuest.Kpcr(0) + 0x10000),
        Unmapped("context-gone", FoundFaulty.ByBoth, guest => HandMadeGuest.Context(1) + 0x100),
        Unmapped("kprcb-gone", FoundFaulty.ByBoth, guest => HandMadeGuest.Kpcr(1)),
        Unmapped("kprcb-tail-gone", FoundFaulty.ByCheckOnly, guest => HandMadeGuest.Kpcr(1) + 0x7000),
        Unmapped("thread-gone", FoundFaulty.ByBoth, guest => HandMadeGuest.Kpcr(1) + 0x11000),
        Unmapped("process-gone", FoundFaulty.ByBoth, guest => HandMadeGuest.SystemProcess),
        Unmapped("shared-data-gone", FoundFaulty.ByBoth, guest => DebuggerEye.SharedDataAddress.Value),
        Unmapped("kdbg-gone", FoundFaulty.ByBoth, guest => HandMadeGuest.Kdbg),
        Unmapped("kernel-header-gone", FoundFaulty.ByCheckOnly, guest => HandMadeGuest.Kernel),
        Bitmap("bitmap", FoundFaulty.ByNone, _ => { }),
        Bitmap("bitmap-kernel", FoundFaulty.ByNone, file => file[L.DumpType] = (byte)CrashDumpType.BitmapKernel),
        Bitmap("bitmap-type-7", FoundFaulty.ByBoth, file => file[L.DumpType] = (byte)CrashDumpType.Automatic),
        Bitmap("bitmap-no-signature", FoundFaulty.ByBoth, file => file[L.HeaderSize]++),
        Bitmap("bitmap-filler-attributes", FoundFaulty.ByCheckOnly, file => Letters(file, L.Attributes, 4)),
        Bitmap("bitmap-filler-runs", FoundFaulty.ByNone, file => Letters(file, L.PhysicalMemoryBlock, L.PhysicalMemoryBlockSize)),
        Bitmap("bitmap-pages-one-more", FoundFaulty.ByBoth, file => file[L.HeaderSize + CrashDumpBitmapLayout.Pages]++),
        Bitmap("bitmap-first-page-later", FoundFaulty.ByBoth, file => file[L.HeaderSize + CrashDumpBitmapLayout.FirstPage + 1] += 0x10),
        Bitmap("bitmap-bit-lost", FoundFaulty.ByBoth, file => file[L.HeaderSize + CrashDumpBitmapLayout.Bitmap] &= 0xFB),
        Bitmap("bitmap-short", FoundFaulty.ByBoth, file => file[L.HeaderSize + CrashDumpBitmapLayout.BitmapBits + 1] = 1),
        Unmapped("module-gone", FoundFaulty.ByBoth, guest => HandMadeGuest.Drivers),
    ];

    /// <summary>Writes a dump of a guest.</summary>
    public static void Dump(HandMadeGuest guest, Func<HandMadeGuest, DumpFacts>? facts, string path) =>
        DumpWriter.Write(DumpPlan.For(facts is null ? guest.Facts() : facts(guest), DumpOptions.Default), path);

    public static void Letters(Span<byte> header, int offset, int length)
    {
        for (var i = 0; i < length; i++)
            header[offset + i] = "PAGE"u8[i & 3];
    }

    public static void AddRun(Span<byte> header, CrashDumpRun run)
    {
        var count = BinaryPrimitives.ReadUInt32LittleEndian(header[L.NumberOfRuns..]);
        BinaryPrimitives.WriteUInt64LittleEndian(header[(L.FirstRun + ((int)count * L.RunSize))..], run.BasePage);
        BinaryPrimitives.WriteUInt64LittleEndian(header[(L.FirstRun + ((int)count * L.RunSize) + 8)..], run.PageCount);
        BinaryPrimitives.WriteUInt32LittleEndian(header[L.NumberOfRuns..], count + 1);
        BinaryPrimitives.WriteUInt64LittleEndian(header[L.NumberOfPages..], BinaryPrimitives.ReadUInt64LittleEndian(header[L.NumberOfPages..]) + run.PageCount);
    }

    public static void SwapRuns(Span<byte> header)
    {
        Span<byte> first = stackalloc byte[L.RunSize];
        header.Slice(L.FirstRun, L.RunSize).CopyTo(first);
        header.Slice(L.FirstRun + L.RunSize, L.RunSize).CopyTo(header[L.FirstRun..]);
        first.CopyTo(header[(L.FirstRun + L.RunSize)..]);
    }

    /// <summary>Processors 1 and 2 get each other's registers, as from a tool that believes vCPU numbers.</summary>
    public static DumpFacts SwapCpus(DumpFacts facts, bool alsoSpecial)
    {
        var processors = facts.Processors.ToList();
        (processors[1], processors[2]) = alsoSpecial
            ? (processors[1] with { Cpu = processors[2].Cpu }, processors[2] with { Cpu = processors[1].Cpu })
            : (Swapped(processors[1], processors[2]), Swapped(processors[2], processors[1]));
        return facts with { Processors = processors };

        static Processor Swapped(Processor a, Processor b) => a with
        {
            Cpu = b.Cpu! with { Gs = a.Cpu!.Gs, Gdtr = a.Cpu.Gdtr, Idtr = a.Cpu.Idtr, KernelGsBase = a.Cpu.KernelGsBase },
        };
    }

        private static PlantedFaults Good(string name, HandMadeGuest guest, Func<HandMadeGuest, DumpFacts>? facts = null) => new(name, FoundFaulty.ByNone, path => Dump(guest, facts, path));

    private delegate void Plant(Span<byte> header);

    private static PlantedFaults Header(string name, FoundFaulty found, Plant plant) => new(name, found, path =>
    {
        Dump(new HandMadeGuest(), null, path);
        var file = File.ReadAllBytes(path);
        plant(file.AsSpan(0, L.HeaderSize));
        File.WriteAllBytes(path, file);
    });

    private static PlantedFaults Bitmap(string name, FoundFaulty found, Plant plant) => new(name, found, path =>
    {
        DumpWriter.Write(DumpPlan.For(new HandMadeGuest().Facts(), new DumpOptions { Kind = DumpKind.Bitmap }), path);
        var file = File.ReadAllBytes(path);
        plant(file);
        File.WriteAllBytes(path, file);
    });

    private static PlantedFaults Unmapped(string name, FoundFaulty found, Func<HandMadeGuest, ulong> address) => new(name, found, path =>
    {
        var guest = new HandMadeGuest();
        var whole = guest.Facts();
        guest.Unmap(address(guest));
        // Facts found before the page went away: the plan writes what it can.
        var facts = guest.Facts();
        Dump(guest, _ => facts with { Kdbg = whole.Kdbg }, path);
    });
}
