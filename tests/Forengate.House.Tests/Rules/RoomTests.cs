using System.Diagnostics;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Xml.Linq;
using Forengate.Testing;

namespace Forengate.House.Tests.Rules;

/// <summary>Data flows left to right through the rooms, and the build sees to it.</summary>
public sealed class RoomTests
{
    public static TheoryData<string> AllRooms => [.. House.Rooms];

    [Fact]
    public void Every_room_is_in_the_table_and_the_solution()
    {
        Assert.Superset(House.Rooms.ToHashSet(), House.RoomTable.Keys.ToHashSet());
        var solution = XDocument.Load(Checkout.PathOf("Forengate.slnx")).Descendants("Project").Select(project => project.Attribute("Path")!.Value).ToHashSet();
        Assert.Subset(solution, House.TextFiles().Where(file => file.EndsWith(".csproj", StringComparison.Ordinal)).ToHashSet());
    }

    [Fact]
    public void The_table_has_no_circle()
    {
        foreach (var (room, _) in House.RoomTable)
        {
            var reached = new HashSet<string>();
            var pending = new Stack<string>(House.RoomTable[room]);
            while (pending.TryPop(out var next))
                if (reached.Add(next))
                    foreach (var further in House.RoomTable[next])
                        pending.Push(further);
            Assert.DoesNotContain(room, reached);
        }
    }

    [Theory, MemberData(nameof(AllRooms))]
    public void A_room_uses_only_rooms_that_its_row_allows(string room)
    {
        using var file = File.OpenRead(House.AssemblyOf(room));
        using var image = new PEReader(file);
        var metadata = image.GetMetadataReader();
        var used = metadata.AssemblyReferences.Select(handle => metadata.GetString(metadata.GetAssemblyReference(handle).Name))
            .Where(name => name.StartsWith("Forengate.", StringComparison.OrdinalIgnoreCase));
        Assert.Subset(House.RoomTable[room].ToHashSet(), used.ToHashSet());
    }

    [Theory]
    [InlineData("Forengate.Memory", "Forengate.Symbols", "Forengate.Memory may not use Forengate.Symbols")]
    [InlineData("Forengate.Windows", "Forengate.Guests", "Forengate.Windows may not use Forengate.Guests")]
    [InlineData("Forengate.Cellar", null, "Forengate.Cellar is no room of the house")]
    [InlineData("Forengate.Dumps", "Forengate.Windows", null)]
    public async Task The_build_refuses_a_reference_that_the_table_does_not_allow(string room, string? uses, string? refusal)
    {
        var folder = Directory.CreateTempSubdirectory("forengate-room-");
        try
        {
            var project = Path.Combine(folder.FullName, $"{room}.csproj");
            File.WriteAllText(project, $"""
                <Project>
                  <ItemGroup>{(uses is null ? "" : $"<ProjectReference Include=\"{Checkout.PathOf($"src/{uses}/{uses}.csproj")}\" />")}</ItemGroup>
                  <Import Project="{Checkout.PathOf("src/Directory.Build.targets")}" />
                </Project>
                """);
            var start = new ProcessStartInfo("dotnet", ["msbuild", project, "-t:RefuseForbiddenRooms", "-nologo"]) { RedirectStandardOutput = true, RedirectStandardError = true };
            start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
            using var build = Process.Start(start)!;
            var said = await Task.WhenAll(build.StandardOutput.ReadToEndAsync(), build.StandardError.ReadToEndAsync());
            await build.WaitForExitAsync();
            Assert.Equal(refusal is not null, build.ExitCode != 0);
            if (refusal is not null)
                Assert.Contains(refusal, string.Concat(said), StringComparison.Ordinal);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
