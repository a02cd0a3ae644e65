using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory.Tests.QemuProcess;

/// <summary>Writes cores of processes as Linux does: notes first, then memory by virtual address, arguments and environment on the stack.</summary>
internal sealed class ProcessCoreBuilder
{
    public const ulong Stack = 0x7FFF_0000_0000;

    private readonly List<(ulong Address, byte[] Data, ulong Size, uint Flags)> _memory = [];
    private readonly List<(ulong Start, ulong End, string Path)> _files = [];
    private string[] _options = [];

    public string Program { get; set; } = "qemu-system-x86";

    public string Command { get; set; } = "qemu-system-x86_64";

    /// <summary>False: the core has no stack, only the first 80 characters in its note.</summary>
    public bool WithStack { get; set; } = true;

    public ProcessCoreBuilder Arguments(params string[] arguments)
    {
        _options = arguments;
        return this;
    }

    public ProcessCoreBuilder Memory(ulong address, byte[] data, ulong? size = null, uint flags = 6)
    {
        _memory.Add((address, data, size ?? (ulong)data.Length, flags));
        return this;
    }

    public ProcessCoreBuilder File(ulong start, ulong length, string path)
    {
        _files.Add((start, start + length, path));
        return this;
    }

    public byte[] Build()
    {
        var strings = Encoding.UTF8.GetBytes(string.Concat(_options.Prepend(Command).Append("HOME=/root").Append("-m=not an argument").Append("/usr/bin/qemu-system-x86_64").Select(text => text + "\0")));
        var stack = new byte[(strings.Length + Page.Size) & ~(Page.Size - 1)];
        strings.CopyTo(stack, stack.Length - strings.Length - 8);
        var path = Stack + (ulong)(stack.Length - 8 - "/usr/bin/qemu-system-x86_64\0".Length);
        List<(ulong Address, byte[] Data, ulong Size, uint Flags)> loads = [.. _memory];
        if (WithStack)
            loads.Add((Stack, stack, (ulong)stack.Length, 6));
        byte[] notes = [.. Information(), .. Auxiliary(path), .. Files()];
        var notesAt = 64 + ((loads.Count + 1) * 56);
        var dataAt = (notesAt + notes.Length + Page.Size - 1) & ~(Page.Size - 1);
        var file = new byte[dataAt + loads.Sum(load => load.Data.Length)];
        ((byte[])[0x7F, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1]).CopyTo(file, 0);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(16), 4);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(18), 62);
        BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(32), 64);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(54), 56);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(56), (ushort)(loads.Count + 1));
        Header(64, 4, 0, (ulong)notesAt, 0, (ulong)notes.Length, 0);
        notes.CopyTo(file, notesAt);
        var (at, header) = (dataAt, 64 + 56);
        foreach (var load in loads)
        {
            Header(header, 1, load.Flags, (ulong)at, load.Address, (ulong)load.Data.Length, load.Size);
            load.Data.CopyTo(file, at);
            at += load.Data.Length;
            header += 56;
        }
        return file;

        void Header(int to, uint type, uint flags, ulong offset, ulong address, ulong stored, ulong size)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(to), type);
            BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(to + 4), flags);
            BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(to + 8), offset);
            BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(to + 16), address);
            BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(to + 32), stored);
            BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(to + 40), size);
        }
    }

    private byte[] Information()
    {
        var text = new byte[136];
        Encoding.UTF8.GetBytes(Program).AsSpan().CopyTo(text.AsSpan(40, 15));
        var arguments = Encoding.UTF8.GetBytes(string.Join(' ', _options.Prepend(Command)));
        arguments.AsSpan(0, Math.Min(arguments.Length, 79)).CopyTo(text.AsSpan(56));
        return ElfCoreBuilder.Note("CORE", 3, text);
    }

    private static byte[] Auxiliary(ulong path)
    {
        var vector = new byte[48];
        BinaryPrimitives.WriteUInt64LittleEndian(vector, 6);
        BinaryPrimitives.WriteUInt64LittleEndian(vector.AsSpan(8), 4096);
        BinaryPrimitives.WriteUInt64LittleEndian(vector.AsSpan(16), 31);
        BinaryPrimitives.WriteUInt64LittleEndian(vector.AsSpan(24), path);
        return ElfCoreBuilder.Note("CORE", 6, vector);
    }

    private byte[] Files()
    {
        var words = new List<ulong> { (ulong)_files.Count, 4096 };
        foreach (var (start, end, _) in _files)
            words.AddRange([start, end, 0]);
        var bytes = new byte[words.Count * 8];
        for (var i = 0; i < words.Count; i++)
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i * 8), words[i]);
        return ElfCoreBuilder.Note("CORE", 0x4649_4c45, [.. bytes, .. Encoding.UTF8.GetBytes(string.Concat(_files.Select(file => file.Path + "\0")))]);
    }
}
