using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using Forengate.Cli.Output;
using Forengate.Engine;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Cli.Commands;

/// <summary><c>info</c>: what was found and how, field by field; what was tried for what was not.</summary>
internal static class InfoCommand
{
    public static Command Create(Shared shared)
    {
        var command = new Command("info", "Says what a target is and which Windows is in it, and how that is known");
        shared.AddTargetTo(command);
        command.Options.Add(shared.Output);
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            using var progress = new ProgressLine();
            Examination examination;
            MemorySurvey survey;
            using (examination = Examination.Open(
                result.GetRequiredValue(shared.Target), shared.TargetOptions(result), progress.AsProgress(), cancellation))
            {
                survey = MemorySurvey.Of(examination.View.Memory, cancellation);
                examination.ThrowIfVanished();
            }
            progress.Clear();
            Fact[] facts = [.. ViewFacts.Of(examination.View, survey, examination.Cpus), .. examination.Windows.Facts];
            using (var output = Console.OpenStandardOutput())
            {
                var format = result.GetValue(shared.Output);
                if (format == OutputFormat.Json)
                    WriteJson(output, examination, survey, facts);
                else
                    new ListingWriter<Fact>(Tables.Facts).Write(output, facts, format);
            }
            Run.Say(examination.Remarks);
            var exit = Run.Incomplete([.. examination.Damage, .. examination.Inconsistencies]);
            return examination.CanList ? exit : Run.Fail(examination.Windows.Reason ?? "no Windows found in this memory");
        }));
        return command;
    }

    /// <summary>One object: the view, the Windows in it where there is one, and every fact with how it is known.</summary>
    private static void WriteJson(Stream output, Examination examination, MemorySurvey survey, IReadOnlyList<Fact> facts)
    {
        using var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        ViewJson.Write(json, examination.View, survey, examination.Cpus);
        if (examination.Windows.System is { } system)
            WriteWindows(json, system);
        else if (examination.Windows.X86 is { } x86)
            WriteWindows(json, x86);
        else
            json.WriteNull("windows");
        if (examination.Small is { } small)
            WriteSmall(json, small);
        json.WriteStartArray("facts");
        foreach (var fact in facts)
        {
            json.WriteStartObject();
            foreach (var column in Tables.Facts)
                column.Value(fact).WriteTo(json, column.Field);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        output.WriteByte((byte)'\n');
    }

    private static void WriteSmall(Utf8JsonWriter json, SmallDump small)
    {
        json.WriteStartObject("smallDump");
        json.WriteNumber("build", small.Build);
        Cell.Address(small.BugCheck?.Code).WriteTo(json, "bugCheck");
        json.WriteStartArray("bugCheckParameters");
        if (small.BugCheck is { } bug)
        {
            foreach (var parameter in (ReadOnlySpan<ulong>)[bug.Parameter1, bug.Parameter2, bug.Parameter3, bug.Parameter4])
                json.WriteStringValue($"0x{parameter:x}");
        }
        json.WriteEndArray();
        json.WriteNumber("processors", small.ProcessorCount);
        Cell.Number(small.Processor).WriteTo(json, "processor");
        Cell.Address(small.InstructionPointer?.Value).WriteTo(json, "instructionPointer");
        Cell.Address(small.StackPointer?.Value).WriteTo(json, "stackPointer");
        Cell.Address(small.Thread?.Value).WriteTo(json, "thread");
        Cell.Number((long?)small.ThreadId).WriteTo(json, "threadId");
        Cell.Number(small.ProcessWarnings.Count == 0 ? (long?)small.Process?.Id : null).WriteTo(json, "pid");
        Cell.Text(small.Process?.Name).WriteTo(json, "process");
        json.WriteNumber("drivers", small.Drivers.Count);
        json.WriteEndObject();
    }

    /// <summary>A 32-bit system: the same names, and what only it has.</summary>
    private static void WriteWindows(Utf8JsonWriter json, X86System system)
    {
        json.WriteStartObject("windows");
        Cell.Text(system.Version.ToString()).WriteTo(json, "version");
        json.WriteNumber("build", system.Version.Build);
        Cell.Text(system.Version.BuildLab).WriteTo(json, "buildLab");
        json.WriteNumber("bits", 32);
        json.WriteBoolean("pae", system.IsPae);
        Cell.Address(system.Kernel.DirectoryTableBase.Value).WriteTo(json, "dtb");
        Cell.Address(system.Image.Base.Value).WriteTo(json, "kernelBase");
        json.WriteNumber("kernelSize", system.Image.Size);
        Cell.Text(system.Image.CodeView.Name).WriteTo(json, "pdbName");
        Cell.Text(system.Image.CodeView.Guid.ToString("D")).WriteTo(json, "pdbGuid");
        json.WriteNumber("pdbAge", system.Image.CodeView.Age);
        Cell.Text(system.LayoutVersion).WriteTo(json, "layout");
        Cell.Address(system.Kdbg?.Address.Value).WriteTo(json, "kdbg");
        Cell.Boolean(system.Kdbg?.Encoded).WriteTo(json, "kdbgEncoded");
        Cell.Time(system.SharedData?.SystemTimeUtc).WriteTo(json, "systemTime");
        json.WriteStartArray("processors");
        foreach (var processor in system.Processors)
        {
            json.WriteStartObject();
            json.WriteNumber("number", processor.Number);
            Cell.Number(processor.Cpu?.Index).WriteTo(json, "cpu");
            Cell.Address(processor.Kpcr.Value).WriteTo(json, "kpcr");
            Cell.Address(processor.Kprcb.Value).WriteTo(json, "kprcb");
            Cell.Address(processor.CurrentThread.Value).WriteTo(json, "currentThread");
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteWindows(Utf8JsonWriter json, WindowsSystem system)
    {
        json.WriteStartObject("windows");
        Cell.Text(system.Version.ToString()).WriteTo(json, "version");
        json.WriteNumber("build", system.Version.Build);
        Cell.Text(system.Version.BuildLabEx ?? system.Version.BuildLab).WriteTo(json, "buildLab");
        Cell.Address(system.SystemDirectoryTableBase).WriteTo(json, "dtb");
        Cell.Address(system.Image.Base.Value).WriteTo(json, "kernelBase");
        json.WriteNumber("kernelSize", system.Image.Size);
        Cell.Text(system.Image.CodeView.Name).WriteTo(json, "pdbName");
        Cell.Text(system.Image.CodeView.Guid.ToString("D")).WriteTo(json, "pdbGuid");
        json.WriteNumber("pdbAge", system.Image.CodeView.Age);
        json.WriteStartObject("profile");
        Cell.Text(system.Profile.Origin).WriteTo(json, "source");
        Cell.Text(system.Profile.Version.ToString()).WriteTo(json, "version");
        Cell.Text(system.Profile.CodeView.Key).WriteTo(json, "key");
        json.WriteBoolean("deduced", system.Profile.IsDeduced);
        json.WriteNumber("checksPassed", system.Proof.Passed);
        json.WriteNumber("checksFailed", system.Proof.Failed);
        json.WriteEndObject();
        Cell.Address(system.Kdbg?.Address.Value).WriteTo(json, "kdbg");
        Cell.Boolean(system.Kdbg?.Encoded).WriteTo(json, "kdbgEncoded");
        Cell.Time(system.SharedData?.SystemTimeUtc).WriteTo(json, "systemTime");
        json.WriteStartArray("processors");
        foreach (var processor in system.Processors)
        {
            json.WriteStartObject();
            json.WriteNumber("number", processor.Number);
            Cell.Number(processor.Cpu?.Index).WriteTo(json, "cpu");
            Cell.Address(processor.Kpcr.Value).WriteTo(json, "kpcr");
            Cell.Address(processor.Kprcb.Value).WriteTo(json, "kprcb");
            Cell.Address(processor.CurrentThread?.Value).WriteTo(json, "currentThread");
            Cell.Number((long?)processor.CurrentProcessId).WriteTo(json, "currentPid");
            Cell.Text(processor.CurrentProcessName).WriteTo(json, "currentProcess");
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
