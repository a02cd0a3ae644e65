using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace Forengate.Memory;

/// <summary>A crash dump file mapped read-only as a whole.</summary>
internal sealed unsafe class CrashDumpMapping : IDisposable
{
    private readonly MemoryMappedFile? _file;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly byte* _bytes;

    public CrashDumpMapping(string path)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        Length = (ulong)stream.Length;
        if (Length == 0)
            return;
        _file = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        _view = _file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _bytes);
    }

    /// <summary>In bytes.</summary>
    public ulong Length { get; }

    /// <summary>Bytes from an offset on, at most as many as asked for, fewer at the file's end.</summary>
    public ReadOnlySpan<byte> Slice(ulong offset, int maxLength) =>
        offset >= Length ? default : new ReadOnlySpan<byte>(_bytes + offset, (int)Math.Min((ulong)maxLength, Length - offset));

    public void Dispose()
    {
        if (_view is not null)
            _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view?.Dispose();
        _file?.Dispose();
    }
}
