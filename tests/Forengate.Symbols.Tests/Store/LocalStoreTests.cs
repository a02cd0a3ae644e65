using Forengate.Testing.Hostile;
using Forengate.Testing.Twins;

namespace Forengate.Symbols.Tests;

/// <summary>The store of a host: one file a kernel, found by its name, believed only where it is sound.</summary>
public sealed class LocalStoreTests : IDisposable
{
    private static readonly KernelProfile Kernel = ProfileStore.Carried.Packs[0][17];

    private readonly string _folder = TwinFolders.New();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void What_is_added_is_found_whole()
    {
        var store = new LocalStore(Path.Combine(_folder, "deep", "store"));
        Assert.Null(store.Find(Kernel.CodeView, out var tried));
        Assert.Contains(store.Folder, tried, StringComparison.Ordinal);
        var (path, isNew) = store.Add(Kernel);
        Assert.True(isNew);
        Assert.Equal(Path.Combine(store.Folder, Kernel.CodeView.Key + ".pack"), path);
        Assert.False(store.Add(Kernel).IsNew);
        Assert.Equal([path], Directory.GetFiles(store.Folder));

        var found = new LocalStore(store.Folder).Find(Kernel.CodeView, out _)!;
        Assert.Equal($"local store, {path}", found.Origin);
        Assert.Equal(Kernel.Version, found.Version);
        foreach (var type in Enum.GetValues<KernelStruct>())
            Assert.Equal(Kernel.SizeOf(type), found.SizeOf(type));
        foreach (var field in Enum.GetValues<KernelField>())
            Assert.Equal(Kernel.Field(field), found.Field(field));
        foreach (var global in Enum.GetValues<KernelGlobal>())
            Assert.Equal(Kernel.RvaOf(global), found.RvaOf(global));
        var listed = Assert.Single(store.Kernels);
        Assert.Equal((Kernel.CodeView.Key, Kernel.Version, path, null), (listed.CodeView!.Key, listed.Version, listed.File, listed.Problem));
    }

    [Fact]
    public void It_is_asked_before_the_carried_packs_and_reads_one_file_only()
    {
        var store = new LocalStore(_folder);
        store.Add(Kernel);
        for (var i = 0; i < 20; i++)
            File.WriteAllText(Path.Combine(_folder, $"{i:X32}1.pack"), "no pack");
        Assert.StartsWith("local store", ProfileStore.Carried.With(store).Find(Kernel.CodeView, out _)!.Origin, StringComparison.Ordinal);
        // Twenty spoilt neighbours are not looked at.
        Assert.Empty(store.Refused);
        Assert.Equal(20, store.Kernels.Count(kernel => kernel.Problem is not null));
    }

    [Fact]
    public void A_file_that_is_not_the_kernel_its_name_says_is_refused_and_the_next_source_asked()
    {
        var store = new LocalStore(_folder);
        var (path, _) = store.Add(ProfileStore.Carried.Packs[0][18]);
        File.Move(path, Path.Combine(_folder, Kernel.CodeView.Key + ".pack"));
        Assert.Equal("carried pack", ProfileStore.Carried.With(store).Find(Kernel.CodeView, out _)!.Origin);
        Assert.Contains("not the profile of the kernel that its name says", Assert.Single(store.Refused), StringComparison.Ordinal);
    }

    [Fact]
    public void Spoilt_files_are_refused_and_never_believed()
    {
        var store = new LocalStore(_folder);
        var (path, _) = store.Add(Kernel);
        var good = File.ReadAllBytes(path);
        Bounded.Survives(good, 31, HostileRounds.Count(200), bytes =>
        {
            File.WriteAllBytes(path, bytes);
            var found = store.Find(Kernel.CodeView, out var tried);
            Assert.True(found is null ? tried.Contains("refused", StringComparison.Ordinal) : bytes.AsSpan().SequenceEqual(good), tried);
        });
    }

    [Fact]
    public void A_name_from_guest_memory_does_not_matter()
    {
        var store = new LocalStore(_folder);
        store.Add(Kernel);
        Assert.NotNull(store.Find(Kernel.CodeView with { Name = "../../etc/passwd" }, out _));
    }
}
