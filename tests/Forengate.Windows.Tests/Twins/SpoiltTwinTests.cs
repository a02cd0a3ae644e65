using System.Buffers.Binary;
using System.Text.Json;
using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing.Hostile;

namespace Forengate.Windows.Tests;

/// <summary>Twins with bytes changed where it hurts: process structures, page tables, list heads, globals. Nothing throws, hangs or grows without bound.</summary>
public sealed class SpoiltTwinTests
{
    private const int Rounds = 16;

    public static TheoryData<string, int> Cases
    {
        get
        {
            var cases = new TheoryData<string, int>();
            foreach (var build in (int[])[7601, 19041, 22000])
            {
                for (var seed = 0; seed < 4; seed++)
                    cases.Add($"--build {build} --seed {30 + build % 7} --memory 128 --cpus 2 --cpu-modes mixed", seed);
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void NothingBreaks(string options, int seed)
    {
        var twin = TwinImage.Of(options);
        using var view = twin.Open();
        var places = Places(twin.Truth, view);
        Bounded.Run(
            ct =>
            {
                for (var round = 0; round < Rounds; round++)
                {
                    var random = new Random((seed * 1000) + round);
                    using var memory = new ChangedMemory(view.Memory);
                    Spoil(memory, places, random);
                    using var spoilt = new View(memory, round % 4 == 3 ? [] : view.Cpus, view.Consistency, view.Origin);
                    Exercise(spoilt, scan: round % 4 == 0, ct);
                }
            },
            allowance: 2L << 30, patience: TimeSpan.FromMinutes(5), describe: () => $"{options}, seed {seed}");
    }

    private static void Exercise(View view, bool scan, CancellationToken ct)
    {
        var found = WindowsSystem.Find(view, ProfileStore.Carried, ct);
        if (found.System is not { } system)
        {
            Assert.False(string.IsNullOrWhiteSpace(found.Reason));
            return;
        }
        Check(ProcessList.Walk(system, ct));
        Check(DriverList.Walk(system, ct));
        if (scan)
        {
            Check(ProcessList.Scan(system, null, ct));
            Check(DriverList.Scan(system, null, ct));
        }
    }

    private static void Check<T>(Listing<T> listing)
    {
        Assert.True(listing.Items.Count > 0 || listing.Warnings.Count > 0);
        Assert.InRange(listing.Items.Count, 0, 5000);
    }

    internal static void Spoil(ChangedMemory memory, List<ulong> places, Random random)
    {
        for (var i = random.Next(1, 30); i > 0; i--)
        {
            var place = places[random.Next(places.Count)];
            var at = memory.Page(place)[(int)(place & 0xFF8)..];
            switch (random.Next(4))
            {
                case 0:
                    at[random.Next(8)] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    BinaryPrimitives.WriteUInt64LittleEndian(at, 0);
                    break;
                case 2:
                    BinaryPrimitives.WriteUInt64LittleEndian(at, (ulong)random.NextInt64() ^ (random.Next(2) == 0 ? 0xFFFF_F800_0000_0000 : 0));
                    break;
                default:
                    var other = places[random.Next(places.Count)];
                    memory.Page(other).Slice((int)(other & 0xFF8), 8).CopyTo(at);
                    break;
            }
        }
    }

    /// <summary>Qwords that a reader follows: the fields of every EPROCESS, the globals, the tables from System's top table down.</summary>
    internal static List<ulong> Places(JsonElement truth, View view)
    {
        var places = new List<ulong>();
        foreach (var process in truth.GetProperty("processes").EnumerateArray())
        {
            var at = TwinImage.Hex(process.GetProperty("eprocessPa")) & ~7UL;
            for (var offset = 0UL; offset < 0x600; offset += 8)
                places.Add(at + offset);
        }
        foreach (var global in truth.GetProperty("globals").EnumerateArray())
        {
            if (global.GetProperty("pa").ValueKind == JsonValueKind.String)
                places.AddRange(Enumerable.Repeat(TwinImage.Hex(global.GetProperty("pa")) & ~7UL, 20));
        }
        Tables(view.Memory, TwinImage.Hex(truth.GetProperty("paging").GetProperty("systemPml4")), 4, places, new HashSet<ulong>());
        return [.. places.Where(place => view.Memory.StateOf(new PhysicalAddress(place)) == PageState.Present)];
    }

    private static void Tables(PhysicalMemory memory, ulong table, int level, List<ulong> places, HashSet<ulong> seen)
    {
        if (!seen.Add(table))
            return;
        for (var slot = level == 4 ? 256UL : 0; slot < 512; slot++)
        {
            if (!memory.TryRead(new PhysicalAddress(table + (slot * 8)), out ulong entry) || (entry & 1) == 0)
                continue;
            places.Add(table + (slot * 8));
            if (level > 2 && (entry & 0x80) == 0)
                Tables(memory, entry & 0xF_FFFF_FFFF_F000, level - 1, places, seen);
        }
    }
}
