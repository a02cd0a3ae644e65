using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>What is known of a block before it is decoded, from elsewhere.</summary>
/// <param name="KernBase">The kernel's base: the known word.</param>
/// <param name="PsLoadedModuleList">From the profile; null where it does not know.</param>
/// <param name="PsActiveProcessHead">From the profile; null where it does not know.</param>
internal readonly record struct DebuggerDataExpectation(ulong KernBase, ulong? PsLoadedModuleList, ulong? PsActiveProcessHead);

/// <summary>Finds a block's plain form. Whether it is encoded is decided by the block, never by the version.</summary>
internal static class DebuggerDataDecoder
{
    /// <summary>A block in its plain form.</summary>
    /// <param name="Plain">Exactly as many bytes as its size field says.</param>
    /// <param name="Key">Null where the bytes in memory were plain already.</param>
    public sealed record Result(byte[] Plain, DebuggerDataEncoding.Key? Key);

    /// <summary>Takes the block as it lies in memory, plain or encoded.</summary>
    /// <param name="raw">Bytes from the block's start on: as many as are readable, up to <see cref="DebuggerData.MaxSize"/>.</param>
    /// <param name="expected">What a true block must say.</param>
    /// <param name="tried">What was tried and why it did not fit, for people.</param>
    /// <returns>Null where neither the bytes themselves nor any of the 64 rotations give a block that fits.</returns>
    public static Result? Decode(ReadOnlySpan<byte> raw, DebuggerDataExpectation expected, out string tried)
    {
        tried = "";
        if (raw.Length < DebuggerData.MinSize)
        {
            tried = $"only {raw.Length} bytes of it are in memory";
            return null;
        }

        if (BinaryPrimitives.ReadUInt32LittleEndian(raw[(int)DebuggerDataField.OwnerTag..]) == DebuggerData.Tag)
        {
            if (PlausibleSize(raw, raw.Length) is { } size && Fits(raw, expected))
                return new Result(raw[..size].ToArray(), null);
            tried = "its tag says KDBG in plain, but size, list or list heads do not fit; ";
        }

        Result? found = null;
        Span<byte> plain = stackalloc byte[DebuggerData.MaxSize];
        plain = plain[..Math.Min(raw.Length, DebuggerData.MaxSize)];
        var known = BinaryPrimitives.ReadUInt64LittleEndian(raw[(int)DebuggerDataField.KernBase..]);
        var tagged = 0;
        for (var rotation = 0; rotation < DebuggerDataEncoding.Rotations; rotation++)
        {
            var key = DebuggerDataEncoding.FromKnownWord(known, expected.KernBase, rotation);
            var header = key.Decode(BinaryPrimitives.ReadUInt64LittleEndian(raw[(int)DebuggerDataField.OwnerTag..]));
            if ((uint)header != DebuggerData.Tag)
                continue;
            tagged++;
            DebuggerDataEncoding.Decode(raw[..plain.Length], plain, key);
            if (PlausibleSize(plain, plain.Length) is not { } size || !Fits(plain, expected))
                continue;
            if (found is not null && !found.Plain.AsSpan().SequenceEqual(plain[..size]))
            {
                tried += "two rotations give different blocks that both fit";
                return null;
            }
            found ??= new Result(plain[..size].ToArray(), key);
        }
        if (found is null)
        {
            tried += tagged == 0
                ? "as it lies and by 64 rotations with the kernel base as known word: no tag KDBG"
                : "a rotation with the kernel base as known word gives the tag KDBG, but size, list or list heads do not fit";
        }
        return found;
    }

    private static int? PlausibleSize(ReadOnlySpan<byte> block, int available)
    {
        var size = BinaryPrimitives.ReadUInt32LittleEndian(block[(int)DebuggerDataField.Size..]);
        return size is >= DebuggerData.MinSize and <= DebuggerData.MaxSize && size % sizeof(ulong) == 0 && size <= (uint)available ? (int)size : null;
    }

    private static bool Fits(ReadOnlySpan<byte> block, DebuggerDataExpectation expected)
    {
        var flink = Qword(block, DebuggerDataField.ListFlink);
        var blink = Qword(block, DebuggerDataField.ListBlink);
        var modules = Qword(block, DebuggerDataField.PsLoadedModuleList);
        var processes = Qword(block, DebuggerDataField.PsActiveProcessHead);
        return IsListPointer(flink) && IsListPointer(blink)
            && Qword(block, DebuggerDataField.KernBase) == expected.KernBase
            && IsListPointer(modules) && (expected.PsLoadedModuleList is not { } m || m == modules)
            && IsListPointer(processes) && (expected.PsActiveProcessHead is not { } p || p == processes);
    }

    private static bool IsListPointer(ulong value) => new VirtualAddress(value) is { IsKernel: true } address && address.IsCanonical(5) && (value & 7) == 0;

    private static ulong Qword(ReadOnlySpan<byte> block, DebuggerDataField field) => BinaryPrimitives.ReadUInt64LittleEndian(block[(int)field..]);
}
