using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory;

/// <summary>
/// One tag of a VMware state file: a name, up to three indexes, and a value of a few bytes or a block (crash, vmware_vmss.h and vmware_vmss.c, by VMware): u16 of size (bits 0–5),
/// number of indexes (6–7) and length of the name (8–15); the name; indexes of 4 bytes; the value. Size 63 is a block, 62 a packed one: u64 bytes in the file, u64 bytes in memory,
/// u16 padding, padding, bytes.
/// </summary>
/// <param name="Name">ASCII.</param>
/// <param name="Index0">The first index; -1 where there is none.</param>
/// <param name="Index1">The second index; -1 where there is none.</param>
/// <param name="At">File offset of the value.</param>
/// <param name="Size">Bytes of the value in the file.</param>
/// <param name="IsBlock">The value is a block.</param>
/// <param name="IsPacked">The block is packed.</param>
internal readonly record struct VmwareTag(string Name, long Index0, long Index1, ulong At, ulong Size, bool IsBlock, bool IsPacked)
{
    private const int HeadSize = 2;
    private const int SizeMask = 0x3F;
    private const int IndexCountShift = 6;
    private const int NameLengthShift = 8;
    private const int IndexSize = 4;
    private const int Block = 63;
    private const int PackedBlock = 62;
    private const int BlockHeadSize = 18;
    private const int PaddingAt = 16;

    /// <summary>Takes the tag at an offset; false at the end of its group and where what is there is no whole tag.</summary>
    /// <param name="file">The state file.</param>
    /// <param name="offset">Behind the tag afterwards.</param>
    /// <param name="tag">What was there.</param>
    /// <param name="isCutOff">True when there is something, and it is not whole.</param>
    public static bool TryTake(MappedFile file, ref ulong offset, out VmwareTag tag, out bool isCutOff)
    {
        tag = default;
        isCutOff = true;
        if (!file.TryRead(offset, out ushort head))
            return false;
        isCutOff = head != 0;
        if (head == 0)
            return false;
        var (size, indexes, nameLength) = (head & SizeMask, (head >> IndexCountShift) & 3, head >> NameLengthShift);
        var at = offset + HeadSize;
        var named = nameLength + (indexes * IndexSize);
        if (nameLength == 0 || !file.Holds(at, (ulong)named))
            return false;
        var bytes = file.Span((long)at, named);
        var name = Encoding.ASCII.GetString(bytes[..nameLength]);
        var first = indexes > 0 ? BinaryPrimitives.ReadUInt32LittleEndian(bytes[nameLength..]) : -1L;
        var second = indexes > 1 ? BinaryPrimitives.ReadUInt32LittleEndian(bytes[(nameLength + IndexSize)..]) : -1L;
        at += (ulong)named;
        var isBlock = size is Block or PackedBlock;
        var length = (ulong)size;
        if (isBlock)
        {
            if (!file.TryRead(at, out length) || !file.TryRead(at + PaddingAt, out ushort padding))
                return false;
            at += BlockHeadSize + (ulong)padding;
        }
        tag = new VmwareTag(name, first, second, at, length, isBlock, size == PackedBlock);
        // A block at the end of a file that was cut off still begins where it says.
        offset = length > (ulong)file.Length || at > (ulong)file.Length - length ? (ulong)file.Length : at + length;
        return isBlock || file.Holds(at, length);
    }

    /// <summary>The value as a number of 1 to 8 bytes; false for blocks and longer ones.</summary>
    public bool TryRead(MappedFile file, out ulong value)
    {
        value = 0;
        if (IsBlock || Size is 0 or > sizeof(ulong))
            return false;
        var bytes = file.Span((long)At, (int)Size);
        for (var i = bytes.Length - 1; i >= 0; i--)
            value = value << 8 | bytes[i];
        return bytes.Length == (int)Size;
    }
}
