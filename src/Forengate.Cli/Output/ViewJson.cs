using System.Text.Json;
using Forengate.Memory;

namespace Forengate.Cli.Output;

/// <summary>A view as the JSON object <c>view</c> of <c>info</c>: docs/commands/info.md has its fields. Add, never rename.</summary>
internal static class ViewJson
{
    public static void Write(Utf8JsonWriter json, View view, MemorySurvey survey, IReadOnlyList<CpuState> cpus)
    {
        var origin = view.Origin;
        json.WriteStartObject("view");
        Cell.Text(origin.Target).WriteTo(json, "target");
        Cell.Text(origin.Format).WriteTo(json, "format");
        Cell.Text(origin.Producer).WriteTo(json, "producer");
        Cell.Time(origin.TakenAt).WriteTo(json, "takenAt");
        Cell.Text(origin.GuestName).WriteTo(json, "guestName");
        Cell.Text(origin.Machine).WriteTo(json, "machine");
        Cell.Text(view.Consistency.Level switch
        {
            ConsistencyLevel.Instant => "instant",
            ConsistencyLevel.MemoryOnly => "memoryOnly",
            ConsistencyLevel.Smeared => "smeared",
            _ => "unknown",
        }).WriteTo(json, "consistency");
        WriteSmear(json, origin.Smear);
        Cell.Text(origin.Packing).WriteTo(json, "packing");
        Number(json, "fileBytes", origin.FileBytes);
        json.WriteNumber("memoryBytes", view.Memory.Size);
        if (origin.FileBytes is { } fileBytes and not 0)
            json.WriteNumber("ratio", Math.Round((double)view.Memory.Size / fileBytes, 3));
        else
            json.WriteNull("ratio");
        json.WriteStartObject("pages");
        json.WriteNumber("present", survey.Present >> Page.Shift);
        json.WriteNumber("zero", survey.Zero >> Page.Shift);
        json.WriteNumber("missing", survey.Missing >> Page.Shift);
        json.WriteNumber("ballooned", survey.Ballooned >> Page.Shift);
        json.WriteNumber("excluded", survey.Excluded >> Page.Shift);
        json.WriteEndObject();
        WriteRanges(json, "ranges", view.Memory.Ranges);
        json.WriteStartArray("blocks");
        foreach (var block in origin.Blocks)
        {
            json.WriteStartObject();
            Cell.Text(block.Name).WriteTo(json, "name");
            json.WriteNumber("bytes", block.Length);
            WriteRanges(json, "ranges", block.Ranges);
            Cell.Text(block.PlacedBy).WriteTo(json, "placedBy");
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("cpus");
        foreach (var cpu in cpus)
            WriteCpu(json, cpu);
        json.WriteEndArray();
        JsonLines.Write(json, "damage", origin.Damage);
        JsonLines.Write(json, "remarks", origin.Remarks);
        json.WriteEndObject();
    }

    /// <summary>The object <c>smear</c>; null for what is not smeared.</summary>
    public static void WriteSmear(Utf8JsonWriter json, SmearScore? smear)
    {
        if (smear is null)
        {
            json.WriteNull("smear");
            return;
        }
        json.WriteStartObject("smear");
        json.WriteString("level", smear.LevelName);
        json.WriteNumber("pagesRead", smear.PagesRead);
        json.WriteNumber("pagesCompared", smear.PagesCompared);
        json.WriteNumber("pagesChanged", smear.PagesChanged);
        json.WriteNumber("changedShare", Math.Round(smear.ChangedShare, 6));
        json.WriteNumber("readingMilliseconds", Math.Round(smear.Reading.TotalMilliseconds, 3));
        json.WriteNumber("listsReadAgain", smear.Torn.ReadAgain);
        json.WriteNumber("listsUnresolved", smear.Torn.Unresolved);
        json.WriteEndObject();
    }

    private static void WriteRanges(Utf8JsonWriter json, string name, IReadOnlyList<PhysicalRange> ranges)
    {
        json.WriteStartArray(name);
        foreach (var range in ranges)
        {
            json.WriteStartObject();
            Cell.Address(range.Start.Value).WriteTo(json, "start");
            Cell.Address(range.End.Value).WriteTo(json, "end");
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void WriteCpu(Utf8JsonWriter json, CpuState cpu)
    {
        json.WriteStartObject();
        json.WriteNumber("index", cpu.Index);
        Cell.Address(cpu.Rip).WriteTo(json, "rip");
        Cell.Address(cpu.Rsp).WriteTo(json, "rsp");
        Cell.Address(cpu.Cr3).WriteTo(json, "cr3");
        Cell.Address(cpu.Gs?.Base).WriteTo(json, "gsBase");
        Cell.Address(cpu.KernelGsBase).WriteTo(json, "kernelGsBase");
        Cell.Number(cpu.Cpl).WriteTo(json, "privilege");
        JsonLines.Write(json, "unknown", CpuRegisterGroups.Unknown(cpu));
        json.WriteEndObject();
    }

    private static void Number(Utf8JsonWriter json, string name, ulong? value)
    {
        if (value is { } number)
            json.WriteNumber(name, number);
        else
            json.WriteNull(name);
    }
}
