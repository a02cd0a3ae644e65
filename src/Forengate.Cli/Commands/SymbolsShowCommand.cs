using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using Forengate.Cli.Output;
using Forengate.Engine;
using Forengate.Symbols;

namespace Forengate.Cli.Commands;

/// <summary><c>symbols show</c>: a structure of a build, or how two builds differ in it.</summary>
internal static class SymbolsShowCommand
{
    public static Command Create(Shared shared)
    {
        const string buildWords = "a build (19041), version (10.0.19041.329), GUID-age, or a symbol file";
        var type = new Argument<string>("TYPE") { Description = "A structure: _EPROCESS, KPRCB" };
        var build = new Option<string?>("--build", "-b") { Description = $"Which kernel: {buildWords} (default: what --symbols names, else the newest known)", HelpName = "BUILD" };
        var against = new Option<string?>("--against") { Description = $"Show only what differs in another kernel: {buildWords}", HelpName = "BUILD" };
        var depth = new Option<int>("--depth")
        {
            Description = "From a PDB or ISF file: how many structures within structures are shown field by field (anonymous ones always are)",
            HelpName = "N",
            DefaultValueFactory = _ => 0,
        };
        depth.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 0 or > 8)
                result.AddError("--depth takes 0 to 8");
        });
        var command = new Command("show", "Shows the fields of a kernel structure with their offsets: all of them from a PDB or ISF file, else those that profiles carry");
        command.Arguments.Add(type);
        command.Options.Add(build);
        command.Options.Add(against);
        command.Options.Add(depth);
        shared.AddSymbolsTo(command);
        command.Options.Add(shared.Output);
        command.SetAction(result => Run.Guarded(_ =>
        {
            var shelf = SymbolShelf.Open(shared.TargetOptions(result));
            var (name, format) = (result.GetRequiredValue(type), result.GetValue(shared.Output));
            using var output = Console.OpenStandardOutput();
            if (result.GetValue(against) is not { } other)
            {
                var sheet = shelf.Show(name, result.GetValue(build), result.GetValue(depth));
                Write(output, format, SymbolTables.Fields, sheet.Rows, sheet, null);
                Run.Say([Of(sheet)]);
                return ExitCode.Done;
            }
            var (one, two) = shelf.Compare(name, result.GetValue(build), other, result.GetValue(depth));
            var differences = one.Against(two).ToList();
            Write(output, format, SymbolTables.Differences, differences, one, two);
            Run.Say([Of(one), $"against {Of(two)}", .. differences.Count == 0 ? (string[])["no difference"] : []]);
            return ExitCode.Done;
        }));
        return command;
    }

    private static string Of(TypeSheet sheet) =>
        $"{sheet.Type}, {(sheet.Size is { } size ? $"0x{size:x} bytes" : "size not known")}, of {sheet.Build}: {(sheet.IsWhole ? "all fields" : "the fields that profiles carry")}";

    /// <summary>JSON is one object: whose type it is, then the rows.</summary>
    private static void Write<T>(Stream output, OutputFormat format, Column<T>[] columns, IReadOnlyList<T> rows, TypeSheet one, TypeSheet? other)
    {
        if (format != OutputFormat.Json)
        {
            new ListingWriter<T>(columns).Write(output, rows, format);
            return;
        }
        using var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        Cell.Text(one.Type).WriteTo(json, "type");
        Cell.Text(one.Build).WriteTo(json, "build");
        Cell.Number(one.Size).WriteTo(json, "size");
        Cell.Boolean(one.IsWhole).WriteTo(json, "whole");
        if (other is not null)
        {
            Cell.Text(other.Build).WriteTo(json, "otherBuild");
            Cell.Number(other.Size).WriteTo(json, "otherSize");
        }
        json.WriteStartArray(other is null ? "fields" : "differences");
        foreach (var row in rows)
        {
            json.WriteStartObject();
            foreach (var column in columns)
                column.Value(row).WriteTo(json, column.Field);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        output.WriteByte((byte)'\n');
    }
}
