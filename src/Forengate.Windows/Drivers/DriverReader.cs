using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>Makes <see cref="Driver"/> records of list entries.</summary>
internal sealed class DriverReader(AddressSpace kernel, DriverLayout layout)
{
    /// <summary>No driver is larger, in bytes.</summary>
    public const uint MaxImageSize = 512 << 20;

    private readonly byte[] _buffer = new byte[layout.Length];

    /// <summary>Reads an entry into this reader's buffer; false where a part is missing. The span lives until the next call.</summary>
    public bool TryRead(VirtualAddress entry, out ReadOnlySpan<byte> bytes)
    {
        bytes = _buffer;
        return kernel.TryRead(entry, _buffer);
    }

    public Driver Describe(VirtualAddress entry, ReadOnlySpan<byte> bytes, FoundBy foundBy, bool isListed)
    {
        var path = UnicodeString.From(bytes[layout.FullDllName..]).Read(kernel) ?? "";
        var name = UnicodeString.From(bytes[layout.BaseDllName..]).Read(kernel) ?? "";
        if (name.Length == 0)
            name = path[(path.LastIndexOf('\\') + 1)..];
        var start = new VirtualAddress(Qword(bytes, layout.DllBase));
        var entryPoint = new VirtualAddress(Qword(bytes, layout.EntryPoint));
        var header = start.IsKernel ? LoadedImage.Read(kernel, start) : null;
        var stamp = layout.TimeDateStamp is { } offset ? BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]) : 0;
        return new Driver
        {
            Name = name,
            Path = path,
            Base = start,
            Size = BinaryPrimitives.ReadUInt32LittleEndian(bytes[layout.SizeOfImage..]),
            EntryPoint = entryPoint.IsNull ? null : entryPoint,
            Address = entry,
            FoundBy = foundBy,
            IsListed = isListed,
            CodeView = header?.ReadCodeView(kernel),
            TimeDateStamp = header?.TimeDateStamp ?? (stamp != 0 ? stamp : null),
        };
    }

    /// <summary>Whether bytes can be a driver's list entry: pointers, sizes and strings as the loader makes them.</summary>
    public static bool IsSane(ReadOnlySpan<byte> bytes, DriverLayout layout, int levels)
    {
        var start = new VirtualAddress(Qword(bytes, layout.DllBase));
        var size = BinaryPrimitives.ReadUInt32LittleEndian(bytes[layout.SizeOfImage..]);
        var entryPoint = new VirtualAddress(Qword(bytes, layout.EntryPoint));
        var links = LinkedListWalk.From(bytes[layout.InLoadOrderLinks..]);
        return KernelPointers.IsObject(start, levels) && start.PageOffset == 0
            && size is >= Page.Size and <= MaxImageSize
            && (entryPoint.IsNull || entryPoint - start < size)
            && KernelPointers.IsObject(links.Flink, levels) && KernelPointers.IsObject(links.Blink, levels)
            && IsName(UnicodeString.From(bytes[layout.BaseDllName..]), levels) && IsName(UnicodeString.From(bytes[layout.FullDllName..]), levels);
    }

    private static bool IsName(UnicodeString name, int levels) =>
        name is { IsSane: true, Length: > 0 } && name.Buffer.IsKernel && name.Buffer.IsCanonical(levels) && name.Buffer.Value % 2 == 0;

    private static ulong Qword(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt64LittleEndian(bytes[offset..]);
}
