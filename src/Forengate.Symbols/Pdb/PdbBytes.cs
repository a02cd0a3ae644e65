using Microsoft.Win32.SafeHandles;

namespace Forengate.Symbols;

/// <summary>The bytes of a PDB: a file of which only what is needed is read, or memory.</summary>
internal sealed class PdbBytes : IDisposable
{
    private readonly SafeFileHandle? _file;
    private readonly ReadOnlyMemory<byte> _memory;

    public PdbBytes(ReadOnlyMemory<byte> memory) => (_memory, Length) = (memory, memory.Length);

    public PdbBytes(string path)
    {
        _file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        Length = RandomAccess.GetLength(_file);
    }

    public long Length { get; }

    /// <summary>Reads all of the bytes asked for, or says that they are not there.</summary>
    public bool TryRead(long offset, Span<byte> destination)
    {
        if (offset < 0 || offset > Length - destination.Length)
            return false;
        if (_file is null)
        {
            _memory.Span.Slice((int)offset, destination.Length).CopyTo(destination);
            return true;
        }
        while (!destination.IsEmpty)
        {
            // The file may have been cut since it was opened.
            var read = RandomAccess.Read(_file, destination, offset);
            if (read == 0)
                return false;
            destination = destination[read..];
            offset += read;
        }
        return true;
    }

    public void Dispose() => _file?.Dispose();
}
