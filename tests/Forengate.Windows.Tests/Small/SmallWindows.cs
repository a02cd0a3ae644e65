using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows.Tests;

/// <summary>
/// The least of a Windows that can be found: a few megabytes with a kernel's header, globals, a handful of processes and drivers, each in pages of its own. It is laid out by
/// our own layouts, so it proves walks, bounds and decisions, not offsets: those are proven on twin guests.
/// </summary>
internal sealed class SmallWindows : IDisposable
{
    public const ulong Pool = 0xFFFFFA8001000000;
    public const ulong Kpcr = 0xFFFFF88003000000;
    public const ulong Idt = 0xFFFFF88003100000;
    public const ulong SharedPage = 0xFFFFF78000000000;
    public const ulong BootTime = 0x01D5_0000_0000_0000;
    public const ulong Now = BootTime + 0x100_0000_0000;
    public const ulong CodeRva = 0x5000;

    private readonly Dictionary<ulong, ulong> _frames = [];
    private ulong _nextFrame = 0x40_0000;
    private ulong _nextUserTable = 0x30_0000;

    public SmallWindows(KernelProfile profile, CodeViewRecord codeView, ulong kernelBase = 0xFFFFF80002652000)
    {
        Profile = profile;
        Base = kernelBase;
        Layouts = KernelLayouts.Resolve(profile, out _)!;
        PutHeader(codeView);
        PutShared();
        Memory.Put(SmallMemory.Root + (0x1ED * 8), SmallMemory.Root | 3);
    }

    public SmallMemory Memory { get; } = new(8 << 20);

    public KernelProfile Profile { get; }

    public KernelLayouts Layouts { get; }

    public ulong Base { get; }

    public List<ulong> Processes { get; } = [];

    public List<ulong> Drivers { get; } = [];

    public List<CpuState> Cpus { get; } = [];

    public ulong ProcessHead => Global(KernelGlobal.PsActiveProcessHead);

    public ulong DriverHead => Global(KernelGlobal.PsLoadedModuleList);

    public ulong Global(KernelGlobal global) => KernelLayouts.AddressOf(Profile, new VirtualAddress(Base), global)!.Value.Value;

    public View View() => new(
        Memory, Cpus, new Consistency(ConsistencyLevel.Instant, "made by hand"), new ViewOrigin { Target = "small", Format = "hand-made" });

    public WindowsSearch Find(ProfileStore store) => WindowsSystem.Find(View(), store);

    /// <summary>Guest-physical address of a kernel address, mapped on first use.</summary>
    public ulong At(ulong address)
    {
        if (!_frames.TryGetValue(address >> 12, out var frame))
        {
            frame = _nextFrame;
            _nextFrame += 0x1000;
            _frames[address >> 12] = frame;
            Memory.Map(address & ~0xFFFUL, frame);
        }
        return frame + (address & 0xFFF);
    }

    public void Put(ulong address, ulong value) => Memory.Put(At(address), value);

    public void Put32(ulong address, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(Memory.Bytes[(int)At(address)..], value);

    public void PutBytes(ulong address, ReadOnlySpan<byte> bytes)
    {
        for (var i = 0; i < bytes.Length; i++)
            Memory.Bytes[(int)At(address + (ulong)i)] = bytes[i];
    }

    public void PutString(ulong descriptor, ulong buffer, string text)
    {
        Put(descriptor, (uint)text.Length * 2UL * 0x1_0001UL);
        Put(descriptor + 8, buffer);
        PutBytes(buffer, MemoryMarshal.AsBytes(text.AsSpan()));
    }

    public ulong AddProcess(uint id, uint parent, string path, string? commandLine = null, ulong created = BootTime, ulong exited = 0, uint threads = 1)
    {
        var layout = Layouts.Process;
        var at = Pool + ((ulong)Processes.Count * 0x4000) + 0x80;
        var own = Processes.Count == 0 ? SmallMemory.Root : _nextUserTable;
        if (Processes.Count > 0)
            _nextUserTable += 0x8000;
        Put(at + (ulong)layout.HeaderType, 3UL | (0x2EUL << 16));
        PutList(at + (ulong)layout.HeaderWaitListHead);
        PutList(at + (ulong)layout.ProfileListHead!.Value);
        Put(at + (ulong)layout.DirectoryTableBase, own | 2);
        Put(at + (ulong)layout.UniqueProcessId, id);
        Put(at + (ulong)layout.InheritedFromUniqueProcessId!.Value, parent);
        Put(at + (ulong)layout.CreateTime!.Value, created);
        Put(at + (ulong)layout.ExitTime!.Value, exited);
        Put32(at + (ulong)layout.ActiveThreads!.Value, threads);
        var name = path[(path.LastIndexOf('\\') + 1)..];
        PutBytes(at + (ulong)layout.ImageFileName, Encoding.ASCII.GetBytes(name.PadRight(15, '\0')[..15]));
        if (path.Contains('\\'))
        {
            Put(at + (ulong)layout.SeAuditImageFileName!.Value, at + 0x2000);
            PutString(at + 0x2000, at + 0x2010, path);
        }
        if (threads > 0)
        {
            // One thread, which points back.
            var thread = at + 0x1800;
            var entry = thread + (ulong)Layouts.Thread.KernelThreadListEntry;
            PutLinks(at + (ulong)layout.KernelThreadListHead!.Value, entry, entry);
            PutLinks(entry, at + (ulong)layout.KernelThreadListHead!.Value, at + (ulong)layout.KernelThreadListHead!.Value);
            Put(thread + (ulong)Layouts.Thread.Process, at);
            Put(thread + (ulong)Layouts.Thread.AttachedProcess, at);
        }
        else
        {
            PutList(at + (ulong)layout.KernelThreadListHead!.Value);
        }
        if (commandLine is not null)
            PutUserMemory(at, own, commandLine);
        Processes.Add(at);
        return at;
    }

    public ulong AddDriver(string name, ulong start, uint size)
    {
        var layout = Layouts.Driver;
        var at = Pool + 0x100_0000 + ((ulong)Drivers.Count * 0x1000) + 0x40;
        Put(at + (ulong)layout.DllBase, start);
        Put(at + (ulong)layout.EntryPoint, start + 0x100);
        Put32(at + (ulong)layout.SizeOfImage, size);
        PutString(at + (ulong)layout.FullDllName, at + 0x400, $@"\SystemRoot\system32\{name}");
        PutString(at + (ulong)layout.BaseDllName, at + 0x600, name);
        Drivers.Add(at);
        return at;
    }

    /// <summary>Links the lists, writes what points to what, and gives every process its copy of the kernel's half.</summary>
    public SmallWindows Finish(IReadOnlyCollection<ulong>? unlinked = null, Action<SmallWindows>? before = null)
    {
        Link(ProcessHead, Processes.Where(p => unlinked?.Contains(p) != true).Select(p => p + (ulong)Layouts.Process.ActiveProcessLinks));
        Link(DriverHead, Drivers.Where(d => unlinked?.Contains(d) != true).Select(d => d + (ulong)Layouts.Driver.InLoadOrderLinks));
        foreach (var hidden in Processes.Where(p => unlinked?.Contains(p) == true))
            PutList(hidden + (ulong)Layouts.Process.ActiveProcessLinks);
        foreach (var hidden in Drivers.Where(d => unlinked?.Contains(d) == true))
            PutList(hidden + (ulong)Layouts.Driver.InLoadOrderLinks);
        if (Processes.Count > 0)
            Put(Global(KernelGlobal.PsInitialSystemProcess), Processes[0]);
        PutProcessor();
        before?.Invoke(this);
        for (var i = 1; i < Processes.Count; i++)
        {
            var table = (int)(0x30_0000 + (0x8000 * (i - 1)));
            Memory.Bytes.Slice((int)SmallMemory.Root + 0x800, 0x800).CopyTo(Memory.Bytes[(table + 0x800)..]);
            Memory.Put((ulong)table + (0x1ED * 8), (ulong)table | 3);
        }
        return this;
    }

    public ulong TableOf(int process) => process == 0 ? SmallMemory.Root : 0x30_0000 + (0x8000 * (ulong)(process - 1));

    public void PutLinks(ulong address, ulong flink, ulong blink)
    {
        Put(address, flink);
        Put(address + 8, blink);
    }

    public void Dispose() => Memory.Dispose();

    private void PutList(ulong head) => PutLinks(head, head, head);

    private void Link(ulong head, IEnumerable<ulong> entries)
    {
        List<ulong> ring = [head, .. entries];
        for (var i = 0; i < ring.Count; i++)
            PutLinks(ring[i], ring[(i + 1) % ring.Count], ring[(i + ring.Count - 1) % ring.Count]);
    }

    /// <summary>MS-DOS, COFF and optional header, debug directory and record, each in the page where it would lie.</summary>
    private void PutHeader(CodeViewRecord codeView)
    {
        Put32(Base, 0x5A4D);
        Put32(Base + 0x3C, 0x100);
        Put32(Base + 0x100, 0x4550);
        Put32(Base + 0x104, 0x8664);
        Put32(Base + 0x108, 0x5F5E1000);
        Put32(Base + 0x118, 0x20B);
        Put32(Base + 0x118 + 56, 0x0104_6000);
        Put32(Base + 0x118 + 108, 16);
        Put32(Base + 0x118 + 112 + 48, 0x2000);
        Put32(Base + 0x118 + 112 + 52, 28);
        Put32(Base + 0x2000 + 12, 2);
        Put32(Base + 0x2000 + 16, 24 + 13);
        Put32(Base + 0x2000 + 20, 0x3100);
        Put32(Base + 0x3100, 0x53445352);
        PutBytes(Base + 0x3104, codeView.Guid.ToByteArray());
        Put32(Base + 0x3114, codeView.Age);
        PutBytes(Base + 0x3118, Encoding.ASCII.GetBytes(codeView.Name + "\0"));
        At(Base + CodeRva);
    }

    private void PutShared()
    {
        var layout = Layouts.SharedData;
        Put(SharedPage + (ulong)layout.SystemTime, Now);
        Put(SharedPage + (ulong)layout.InterruptTime, Now - BootTime);
        Put32(SharedPage + (ulong)layout.NtMajorVersion, 10);
        Put32(SharedPage + (ulong)layout.NtProductType, 1);
        PutBytes(SharedPage + (ulong)layout.NtSystemRoot, MemoryMarshal.AsBytes(@"C:\Windows".AsSpan()));
    }

    private void PutProcessor()
    {
        var layout = Layouts.Processor;
        var prcb = Kpcr + (ulong)layout.PcrPrcb;
        Put(Global(KernelGlobal.KiProcessorBlock), prcb);
        Put(Kpcr + (ulong)layout.PcrSelf, Kpcr);
        Put32(prcb + (ulong)layout.Number, 0);
        if (Processes.Count > 0)
            Put(prcb + (ulong)layout.CurrentThread, Processes[^1] + 0x1800);
        if (layout.Context is { } context)
            Put(prcb + (ulong)context, prcb + (ulong)layout.ProcessorState!.Value + (ulong)layout.StateContextFrame!.Value);
        for (var vector = 0; vector < 32; vector++)
        {
            var handler = Base + CodeRva + ((ulong)vector * 0x10);
            Put(Idt + ((ulong)vector * 16), (handler & 0xFFFF) | (0x10UL << 16) | (0x8E00UL << 32) | ((handler >> 16 & 0xFFFF) << 48));
            Put(Idt + ((ulong)vector * 16) + 8, handler >> 32);
        }
    }

    /// <summary>A PEB, parameters and command line in the process's own half.</summary>
    private void PutUserMemory(ulong eprocess, ulong table, string commandLine)
    {
        const ulong peb = 0x7FF_0000_0000;
        var frame = _nextFrame;
        _nextFrame += 0x1000;
        Put(eprocess + (ulong)Layouts.Process.Peb!.Value, peb);
        Memory.Put(table + (((peb >> 39) & 511) * 8), (table + 0x1000) | 7);
        Memory.Put(table + 0x1000 + (((peb >> 30) & 511) * 8), (table + 0x2000) | 7);
        Memory.Put(table + 0x2000 + (((peb >> 21) & 511) * 8), (table + 0x3000) | 7);
        Memory.Put(table + 0x3000 + (((peb >> 12) & 511) * 8), frame | 7);
        Memory.Put(frame + (ulong)Layouts.Process.PebProcessParameters, peb + 0x800);
        var line = frame + 0x800 + (ulong)Layouts.Process.ParametersCommandLine;
        Memory.Put(line, (uint)commandLine.Length * 2UL * 0x1_0001UL);
        Memory.Put(line + 8, peb + 0xA00);
        MemoryMarshal.AsBytes(commandLine.AsSpan()).CopyTo(Memory.Bytes[(int)(frame + 0xA00)..]);
    }
}
