using Forengate.Guests;
using Forengate.Memory;

namespace Forengate.Engine.Tests.Guarding;

/// <summary>What the next guard takes away, and what it must not.</summary>
public sealed class LeftoversTests : IDisposable
{
    private const string Name = "win10_20261121T120000.000Z_panic_D1.dmp";

    private readonly string _folder = Directory.CreateTempSubdirectory("forengate-guard-").FullName;
    private readonly byte[] _header = DumpFiles.Header(GuestTarget.Parse("libvirt:win10"), "win10", "panic");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Only_an_unfinished_dump_of_a_guard_whose_writer_is_gone_is_removed()
    {
        var digits = new string('a', 32);
        var left = Put($"{Name}.partial-{digits}", _header);
        string[] others =
        [
            Put(Name, _header), Put($"{Name}.partial-0", _header), Put($"{Name}.partial-{digits}x", _header), Put($"mine.dmp.partial-{digits}", _header),
            // Another maker's, another guest's, one that has no header yet.
            Put($"{Name}.partial-{new string('b', 32)}", DumpFiles.Header("Forengate: live guest libvirt:win10")), Put($"other_{Name[6..]}.partial-{digits}", _header),
            Put($"{Name}.partial-{new string('c', 32)}", []),
        ];
        var link = Path.Combine(_folder, $"{Name}.partial-{new string('d', 32)}");
        File.CreateSymbolicLink(link, others[0]);
        Assert.Equal([(left, (ulong)_header.Length)], Leftovers.Remove(_folder));
        Assert.Equal(others.Append(link).Order(StringComparer.Ordinal), Directory.GetFiles(_folder).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void One_that_is_being_written_stays_and_gets_its_name()
    {
        var path = Path.Combine(_folder, Name);
        using (var file = PartialFile.Create(path))
        {
            file.Stream.Write(_header);
            Assert.Empty(Leftovers.Remove(_folder));
            file.Finish();
        }
        Assert.Empty(Leftovers.Remove(_folder));
        Assert.Equal(_header, File.ReadAllBytes(path));
        Assert.Equal([path], Directory.GetFiles(_folder));
    }

    private string Put(string name, byte[] bytes)
    {
        var path = Path.Combine(_folder, name);
        File.WriteAllBytes(path, bytes);
        return path;
    }
}
