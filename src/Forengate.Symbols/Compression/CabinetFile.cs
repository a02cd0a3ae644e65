using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Forengate.Symbols;

/// <summary>
/// A Microsoft cabinet with one file in it, as symbol servers keep compressed files (<c>ntkrnlmp.pd_</c>): MSZIP, LZX or not packed. Unpacked by the system's libmspack (mspack.h, version 0.5 and later), after its header was
/// found to make sense.
/// </summary>
internal static unsafe class CabinetFile
{
    // CFHEADER, [MS-CAB] 2.1.
    private const int HeaderLength = 36;
    private const int TotalOffset = 8;
    private const int FilesOffset = 16;
    private const int FolderCountOffset = 26;
    private const int FileCountOffset = 28;
    private const int FlagsOffset = 30;

    /// <summary>cfhdrPREV_CABINET, cfhdrNEXT_CABINET: the file goes on in others.</summary>
    private const int SpansOthers = 3;

    /// <summary>CFFILE: its size unpacked is its first field.</summary>
    private const int FileLength = 16;

    private static readonly Lazy<Functions> Library = new(() => new Functions(SystemLibrary.Load("libmspack.so.0", "libmspack0")));

    public static ReadOnlySpan<byte> Magic => "MSCF\0\0\0\0"u8;

    /// <summary>Unpacks the one file.</summary>
    /// <param name="path">The cabinet.</param>
    /// <param name="target">Where the file goes; on failure nothing is left there.</param>
    /// <param name="mostBytes">What it may have, unpacked.</param>
    /// <exception cref="SymbolFormatException">It is no such cabinet, damaged, or libmspack is not installed.</exception>
    public static void Unpack(string path, string target, long mostBytes)
    {
        Check(path, mostBytes);
        var library = Library.Value;
        var decompressor = library.Create(null);
        if (decompressor is null)
            throw new SymbolFormatException("libmspack cannot begin to unpack");
        var (source, destination) = (Marshal.StringToCoTaskMemUTF8(path), Marshal.StringToCoTaskMemUTF8(target));
        CabinetData* cabinet = null;
        var isWhole = false;
        try
        {
            cabinet = decompressor->Open(decompressor, (byte*)source);
            if (cabinet is null || cabinet->Files is null || cabinet->Files->Length > mostBytes)
                throw new SymbolFormatException($"{path} is a damaged cabinet (libmspack says {decompressor->LastError(decompressor)}); get it anew");
            if (decompressor->Extract(decompressor, cabinet->Files, (byte*)destination) is not 0 and var error)
                throw new SymbolFormatException($"{path} cannot be unpacked (libmspack says {error}); get it anew");
            isWhole = true;
        }
        finally
        {
            if (cabinet is not null)
                decompressor->Close(decompressor, cabinet);
            library.Destroy(decompressor);
            Marshal.FreeCoTaskMem(source);
            Marshal.FreeCoTaskMem(destination);
            if (!isWhole)
                File.Delete(target);
        }
    }

    /// <summary>What a cabinet of a symbol server looks like, before a library in C reads it.</summary>
    private static void Check(string path, long mostBytes)
    {
        using var file = File.OpenHandle(path);
        Span<byte> header = stackalloc byte[HeaderLength];
        var length = RandomAccess.GetLength(file);
        if (RandomAccess.Read(file, header, 0) != HeaderLength || !header.StartsWith(Magic))
            throw new SymbolFormatException($"{path} is no cabinet");
        var (total, first) = (BinaryPrimitives.ReadUInt32LittleEndian(header[TotalOffset..]), BinaryPrimitives.ReadUInt32LittleEndian(header[FilesOffset..]));
        if (total > length)
            throw new SymbolFormatException($"{path} is a truncated cabinet: it has {length} bytes and says {total}; get it anew");
        if (BinaryPrimitives.ReadUInt16LittleEndian(header[FolderCountOffset..]) != 1 || BinaryPrimitives.ReadUInt16LittleEndian(header[FileCountOffset..]) != 1
            || (BinaryPrimitives.ReadUInt16LittleEndian(header[FlagsOffset..]) & SpansOthers) != 0)
            throw new SymbolFormatException($"{path} is a cabinet of several files or parts: a symbol server's has one file");
        Span<byte> entry = stackalloc byte[FileLength];
        if (first > length - FileLength || RandomAccess.Read(file, entry, first) != FileLength)
            throw new SymbolFormatException($"{path} is a damaged cabinet: its file's entry lies outside of it; get it anew");
        if (BinaryPrimitives.ReadUInt32LittleEndian(entry) > mostBytes)
            throw new SymbolFormatException($"{path} is a cabinet whose file would have {BinaryPrimitives.ReadUInt32LittleEndian(entry)} bytes: more than any symbol file");
    }

    /// <summary>struct mscab_decompressor.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Decompressor
    {
        public delegate* unmanaged<Decompressor*, byte*, CabinetData*> Open;
        public delegate* unmanaged<Decompressor*, CabinetData*, void> Close;
        public nint Search;
        public nint Append;
        public nint Prepend;
        public delegate* unmanaged<Decompressor*, FileData*, byte*, int> Extract;
        public nint SetParameter;
        public delegate* unmanaged<Decompressor*, int> LastError;
    }

    /// <summary>struct mscabd_cabinet, as far as it is read.</summary>
    [StructLayout(LayoutKind.Explicit)]
    private struct CabinetData
    {
        /// <summary>Behind next, filename, base_offset, length, prevcab, nextcab, prevname, nextname, previnfo and nextinfo, 8 bytes each.</summary>
        [FieldOffset(80)]
        public FileData* Files;
    }

    /// <summary>struct mscabd_file, as far as it is read.</summary>
    [StructLayout(LayoutKind.Explicit)]
    private struct FileData
    {
        /// <summary>Behind next and filename.</summary>
        [FieldOffset(16)]
        public uint Length;
    }

    private sealed class Functions(nint library)
    {
        /// <summary>With null for the library's own file access.</summary>
        public readonly delegate* unmanaged<void*, Decompressor*> Create =
            (delegate* unmanaged<void*, Decompressor*>)NativeLibrary.GetExport(library, "mspack_create_cab_decompressor");
        public readonly delegate* unmanaged<Decompressor*, void> Destroy =
            (delegate* unmanaged<Decompressor*, void>)NativeLibrary.GetExport(library, "mspack_destroy_cab_decompressor");
    }
}
